"""Versions of the weights: written whole, refused when damaged, in force only where they were shown to be better."""

import json
import logging
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from matching_service.evaluation.compare import Difference
from matching_service.foundation.errors import Conflict, NotFound
from matching_service.matching.weights import CrossValidation, WeightsFile, WeightsStore
from matching_service.ranking.encoder import NoEncoder
from matching_service.ranking.fusion import SIGNALS

DEFAULT = "default-3-none"
DAY = datetime(2026, 11, 1, tzinfo=UTC)


class OtherEncoder(NoEncoder):
    version = "other/1"


def weights_file(version: str, *, against: str = DEFAULT, low: float = 0.01, **more: Any) -> WeightsFile:
    """A version that was measured to be better, unless ``low`` is 0 or less."""
    measured = CrossValidation(
        measure="ndcg@10", compared_with=against, present=0.7, fitted=0.72,
        difference=0.02, low=low, high=0.03, p_not_better=0.01,
    )  # fmt: skip
    values = {signal: (place + 1) / 20 for place, signal in enumerate(SIGNALS)}
    body: dict[str, Any] = {
        "version": version, "created_at": DAY, "encoder": "none", "lexicon": "l", "values": values,
        "floors": {"strong": 0.5, "related": 0.3, "weak": 0.2}, "n_demands": 40, "n_pairs": 400,
        "labels_sha256": "0" * 64, "cross_validation": measured,
    }  # fmt: skip
    return WeightsFile(**(body | more))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "weights"


@pytest.fixture
def store(folder: Path) -> WeightsStore:
    return WeightsStore(folder, NoEncoder())


def refused(code: str) -> Any:
    """Raises a Conflict of that code."""
    return pytest.raises(Conflict, check=lambda error: error.code == code)


class TestFiles:
    def test_there_is_the_default_before_anything_is_written(self, store: WeightsStore, folder: Path) -> None:
        assert store.files() == []
        assert store.active() is store.default
        assert store.get(DEFAULT) is store.default
        assert not folder.exists()

    def test_what_is_saved_is_read_again(self, store: WeightsStore, folder: Path) -> None:
        file = weights_file("fit-1")
        path = store.save(file)
        assert path == folder / "fit-1.json"
        assert store.file("fit-1") == file
        weights = store.get("fit-1")
        assert (weights.version, dict(weights.values)) == ("fit-1", file.values)
        assert (weights.floors.strong, weights.floors.related, weights.floors.weak) == (0.5, 0.3, 0.2)
        assert store.active() is store.default  # nobody activated it

    def test_versions_are_listed_oldest_first(self, store: WeightsStore) -> None:
        for version, days in (("b", 2), ("a", 3), ("c", 1), ("d", 1)):
            store.save(weights_file(version, created_at=DAY + timedelta(days=days)))
        assert [file.version for file in store.files()] == ["c", "d", "b", "a"]

    def test_cross_validation_is_what_was_measured(self) -> None:
        difference = Difference("ndcg", 40, 0.02, 0.01, 0.03, 0.001, worst=(("d", -0.1),))
        measured = CrossValidation.of(difference, k=10, compared_with=DEFAULT, present=0.7, fitted=0.72)
        assert measured == CrossValidation(
            measure="ndcg@10", compared_with=DEFAULT, present=0.7, fitted=0.72,
            difference=0.02, low=0.01, high=0.03, p_not_better=0.001,
        )  # fmt: skip

    @pytest.mark.parametrize(
        "damage",
        [
            lambda _body: b"",
            lambda _body: b"{",
            lambda _body: b"\xff\xfe",
            lambda _body: b"[]",
            lambda body: json.dumps(body).encode()[:-20],
            lambda body: json.dumps(body | {"values": {"lexical": 1.0}}).encode(),
            lambda body: json.dumps(body | {"values": dict.fromkeys(SIGNALS, 0.0)}).encode(),
            lambda body: json.dumps(body | {"values": dict.fromkeys(SIGNALS, -1.0)}).encode(),
            lambda body: json.dumps(body | {"values": dict.fromkeys(SIGNALS, float("inf"))}).encode(),
            lambda body: json.dumps(body | {"floors": {"strong": 0.1, "related": 0.3, "weak": 0.2}}).encode(),
            lambda body: json.dumps(body | {"floors": {"great": 0.1}}).encode(),
            lambda body: json.dumps(body | {"unknown": 1}).encode(),
        ],
    )
    def test_a_damaged_file_is_refused(self, store: WeightsStore, damage: Any) -> None:
        path = store.save(weights_file("fit-1"))
        path.write_bytes(damage(json.loads(path.read_bytes())))
        for use in (store.file, store.get, store.activate):
            with refused("weights_damaged") as error:
                use("fit-1")
            assert str(path) in error.value.detail.zh
            assert str(path) in error.value.detail.en
        with refused("weights_damaged"):
            store.files()

    @pytest.mark.parametrize(
        "version",
        [
            "",
            ".",
            "..",
            "../fit-1",
            "../weights/fit-1",
            "a/b",
            "a\\b",
            ".fit-1",
            "-fit",
            "fit-1\n",
            "fit\0",
            "中",
            "a" * 101,
            "fit-2",
        ],
    )
    def test_names_that_lead_elsewhere_or_nowhere_are_unknown(
        self, store: WeightsStore, folder: Path, version: str
    ) -> None:
        path = store.save(weights_file("fit-1"))
        (folder.parent / "fit-1.json").write_bytes(path.read_bytes())
        (folder / ".fit-1.json").write_bytes(path.read_bytes())
        for use in (store.file, store.get, store.activate):
            with pytest.raises(NotFound) as error:
                use(version)
            assert error.value.code == "weights_not_found"

    def test_an_absolute_path_is_unknown_too(self, store: WeightsStore, folder: Path) -> None:
        store.save(weights_file("fit-1"))
        with pytest.raises(NotFound):
            store.get(str(folder / "fit-1"))

    def test_weights_for_another_encoder_are_refused_and_still_listed(self, folder: Path) -> None:
        store = WeightsStore(folder, OtherEncoder())
        store.save(weights_file("fit-1"))
        for use in (store.get, store.activate):
            with refused("weights_for_another_encoder") as error:
                use("fit-1")
            assert "other/1" in error.value.detail.zh
        assert [file.version for file in store.files()] == ["fit-1"]

    @pytest.mark.parametrize("broken", ["write_text", "replace"])
    def test_a_crash_while_writing_leaves_no_half_file(
        self, store: WeightsStore, folder: Path, monkeypatch: pytest.MonkeyPatch, broken: str
    ) -> None:
        store.save(weights_file("fit-1"))
        store.activate("fit-1")
        before = (folder / "fit-1.json").read_bytes()
        write_text = Path.write_text

        def half(path: Path, text: str, **more: Any) -> None:
            write_text(path, text[: len(text) // 2], **more)
            raise OSError("no space left on device")

        def never(_path: Path, _target: Path) -> None:
            raise OSError("the power is gone")

        with monkeypatch.context() as patch:
            patch.setattr(Path, broken, {"write_text": half, "replace": never}[broken])
            for write in (
                lambda: store.save(weights_file("fit-2")),
                lambda: store.save(weights_file("fit-1", n_pairs=1)),
                lambda: store.activate(DEFAULT),
            ):
                with pytest.raises(OSError, match=r"no space|power"):
                    write()
        left = {path.name for path in folder.iterdir()}
        assert len(left) == 5  # three pieces with names of their own
        assert (folder / "fit-1.json").read_bytes() == before
        assert [file.version for file in store.files()] == ["fit-1"]
        assert WeightsStore(folder, NoEncoder()).active().version == "fit-1"
        store.save(weights_file("fit-2"))  # and they are in nobody's way
        assert [file.version for file in store.files()] == ["fit-1", "fit-2"]


class TestActive:
    def test_what_is_activated_is_in_force(self, store: WeightsStore, folder: Path) -> None:
        store.save(weights_file("fit-1"))
        assert store.activate("fit-1").version == "fit-1"
        assert store.active() == store.get("fit-1")
        assert WeightsStore(folder, NoEncoder()).active().version == "fit-1"

    def test_another_process_notices_without_a_restart(self, store: WeightsStore, folder: Path) -> None:
        other = WeightsStore(folder, NoEncoder())
        assert other.active().version == DEFAULT
        for version, against in (("fit-1", DEFAULT), ("fit-2", "fit-1")):
            store.save(weights_file(version, against=against))
            assert other.active().version == against
            store.activate(version)
            assert other.active().version == version
        store.activate(DEFAULT)
        assert other.active().version == DEFAULT
        store.activate("fit-1")
        (folder / "ACTIVE").unlink()  # as an operator may
        assert other.active().version == DEFAULT
        store.activate("fit-1")
        assert other.active().version == "fit-1"

    def test_the_file_is_read_once_and_not_for_every_match(
        self, store: WeightsStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.save(weights_file("fit-1"))
        store.activate("fit-1")
        first = store.active()
        monkeypatch.setattr(Path, "read_bytes", lambda _path: pytest.fail("read again"))
        assert store.active() is first

    @pytest.mark.parametrize("named", ["", "nobody", "../fit-1", "damaged", "for-another", "fit-1\nfit-1"])
    def test_what_cannot_be_used_leaves_the_default_with_one_warning(
        self, store: WeightsStore, folder: Path, caplog: pytest.LogCaptureFixture, named: str
    ) -> None:
        for version in ("fit-1", "damaged"):
            store.save(weights_file(version))
        store.save(weights_file("for-another", encoder="other/1"))
        (folder / "damaged.json").write_text("{")
        (folder / "ACTIVE").write_text(named, encoding="utf-8")
        with caplog.at_level(logging.WARNING):
            assert store.active() is store.default
            assert store.active() is store.default
        (record,) = [record for record in caplog.records if record.message == "weights_not_usable"]
        assert record.__dict__["used"] == DEFAULT
        assert record.__dict__["reason"]
        (folder / "ACTIVE").unlink()
        store.activate("fit-1")
        assert store.active().version == "fit-1"

    @pytest.mark.parametrize("kind", ["bytes", "folder"])
    def test_an_active_that_is_no_text_leaves_the_default(self, store: WeightsStore, folder: Path, kind: str) -> None:
        folder.mkdir()
        if kind == "bytes":
            (folder / "ACTIVE").write_bytes(b"\xff\xfe\x00")
        else:
            (folder / "ACTIVE").mkdir()
        assert store.active() is store.default

    def test_a_name_may_end_with_a_line_break(self, store: WeightsStore, folder: Path) -> None:
        store.save(weights_file("fit-1"))
        (folder / "ACTIVE").write_text("fit-1\n", encoding="utf-8")
        assert store.active().version == "fit-1"


class TestActivate:
    @pytest.mark.parametrize("low", [0.0, -0.01])
    def test_what_is_not_better_is_refused(self, store: WeightsStore, low: float) -> None:
        store.save(weights_file("fit-1", low=low))
        with refused("weights_not_better") as error:
            store.activate("fit-1")
        assert f"[{low:+.4f}, +0.0300]" in error.value.detail.zh
        assert f"[{low:+.4f}, +0.0300]" in error.value.detail.en
        assert store.active().version == DEFAULT

    def test_what_was_compared_with_another_version_is_refused(self, store: WeightsStore) -> None:
        for version in ("fit-1", "fit-2"):
            store.save(weights_file(version))
        store.activate("fit-1")
        with refused("weights_not_compared") as error:
            store.activate("fit-2")
        assert all(name in error.value.detail.en for name in ("fit-1", "fit-2", DEFAULT))
        assert store.active().version == "fit-1"

    def test_going_back_is_allowed(self, store: WeightsStore) -> None:
        chain = [DEFAULT, "fit-1", "fit-2", "fit-3"]
        for against, version in pairwise(chain):
            store.save(weights_file(version, against=against))
            store.activate(version)
        assert store.activate("fit-1").version == "fit-1"  # an ancestor that is no parent
        with refused("weights_not_compared"):
            store.activate("fit-3")
        for version in ("fit-2", "fit-3", "fit-2", "fit-2", DEFAULT, DEFAULT):
            store.activate(version)
            assert store.active().version == version

    def test_going_back_is_allowed_also_to_what_was_never_better(self, store: WeightsStore, folder: Path) -> None:
        """The present version was measured against it, so its own measurement does not matter."""
        store.save(weights_file("fit-1", low=-1.0))
        store.save(weights_file("fit-2", against="fit-1"))
        (folder / "ACTIVE").write_text("fit-2", encoding="utf-8")
        assert store.activate("fit-1").version == "fit-1"

    def test_versions_that_name_each_other_do_not_hang(self, store: WeightsStore, folder: Path) -> None:
        store.save(weights_file("fit-1", against="fit-2"))
        store.save(weights_file("fit-2", against="fit-1"))
        (folder / "ACTIVE").write_text("fit-1", encoding="utf-8")
        assert store.activate("fit-2").version == "fit-2"

    @pytest.mark.parametrize("ancestor", ["default-1-none", "fit-0"])
    def test_going_back_to_the_default_needs_no_ancestor(self, store: WeightsStore, ancestor: str) -> None:
        """As after an update whose default has another name, or where somebody tidied up old versions."""
        store.save(weights_file("fit-1", against=ancestor))
        store.activate(DEFAULT)
        (store._folder / "ACTIVE").write_text("fit-1", encoding="utf-8")
        assert store.activate(DEFAULT).version == DEFAULT

    def test_unknown_versions_change_nothing(self, store: WeightsStore, folder: Path) -> None:
        with pytest.raises(NotFound):
            store.activate("nobody")
        assert not folder.exists()
