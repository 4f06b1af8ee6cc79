"""Backups of an installation with SQLite: one file with the database and the weights, and a note of the settings.

The file is a ZIP archive. The index is not in it, because it is rebuilt from the database.
"""

import hashlib
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

from pydantic import BaseModel, ValidationError
from sqlalchemy import make_url

from matching_service import __version__
from matching_service.foundation.clock import now
from matching_service.foundation.errors import Bilingual, InvalidInput, NotFound
from matching_service.foundation.settings import Settings
from matching_service.store.migrate import schema_mismatch, steps_known
from matching_service.store.sqlite_files import check_file, connect, copy_database, taken_alone

_NOTE = "backup.json"
_DATABASE = "matching.sqlite3"
_WEIGHTS = "weights/"
_MAX_NOTE_BYTES = 1_000_000
_UNREADABLE = (BadZipFile, KeyError, ValidationError, NotImplementedError, EOFError)


class BackupNote(BaseModel):
    """What a backup holds.

    revision : of the database's schema.
    as_of : sequence number of the newest event in the outbox.
    settings : the settings that name other files or change the ranking, with a digest of each file.
    """

    format: Literal[1] = 1
    made_at: datetime
    program: str
    revision: str
    as_of: int
    settings: dict[str, str]


@dataclass(frozen=True, slots=True)
class Restored:
    """kept : the file with the content that was replaced, None if there was none.
    changed_settings : name, value in the backup, value now.
    """

    note: BackupNote
    kept: Path | None
    changed_settings: list[tuple[str, str, str]]


def sqlite_path(settings: Settings) -> Path | None:
    """Return the file of the database, None on PostgreSQL."""
    url = make_url(settings.effective_database_url)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def make_backup(settings: Settings, database: Path, file: Path) -> BackupNote:
    """Write a backup. The service may run. An older backup of that name is replaced once the new one is complete.

    Raises NotFound if there is no database, InvalidInput if it is damaged or if ``file`` is anything but a backup.
    """
    if not database.is_file():
        raise NotFound("no_database", Bilingual(f"没有数据库 {database}。", f"There is no database {database}."))
    if file.exists():
        _read_note(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{file.name}-", dir=file.parent) as folder:  # of the user alone
        copy, part = Path(folder) / _DATABASE, Path(folder) / file.name
        copy_database(database, copy)
        note = _note(settings, copy)
        with ZipFile(part, "w", ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(_NOTE, note.model_dump_json(indent=1))
            archive.write(copy, _DATABASE)
            for path in sorted(settings.weights_dir.glob("*")):
                archive.write(path, _WEIGHTS + path.name)
        part.chmod(0o600)  # it holds contact data
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(file)
    return note


def restore_backup(settings: Settings, database: Path, file: Path) -> Restored:
    """Put a backup in the place of the present database and weights, in one transaction. The service must not run.

    What is replaced is kept in a file beside the database; versions of the weights that are not in the backup stay.
    Raises InvalidInput if the file is no backup or is damaged, Conflict if a process has the database open,
    Unavailable if a newer program made it. Nothing is changed then.
    """
    note = _read_note(file)
    if note.revision not in steps_known():
        raise schema_mismatch(note.revision)
    database.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=database.parent) as folder:
        unpacked = Path(folder)
        _unpack(file, unpacked)
        check_file(unpacked / _DATABASE)
        kept = database.with_name(f"{database.name}.replaced-{note_time(now())}")
        with taken_alone(database, kept=kept) as present, closing(connect(unpacked / _DATABASE)) as restored:
            # The index follows the events that were replaced. Later events will get the same numbers.
            for part in settings.snapshot_dir.glob("*/CURRENT"):
                part.unlink()
            restored.backup(present)
        _replace_weights(unpacked / "weights", settings.weights_dir)
    present_settings = _settings_noted(settings)
    changed = [(name, value, present_settings[name]) for name, value in note.settings.items()
               if present_settings.get(name, value) != value]  # fmt: skip
    return Restored(note, kept if kept.exists() else None, changed)


def note_time(moment: datetime) -> str:
    """Return a moment in the form that names of files have."""
    return f"{moment:%Y%m%dT%H%M%SZ}"


def _note(settings: Settings, copy: Path) -> BackupNote:
    with closing(connect(copy)) as connection:
        try:
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            (as_of,) = connection.execute("SELECT coalesce(max(seq), 0) FROM outbox_events").fetchone()
        except (sqlite3.OperationalError, TypeError) as error:
            message = Bilingual(
                "数据库是空的，没有可备份的内容。", "The database is empty; there is nothing to back up."
            )
            raise NotFound("no_database", message) from error
    return BackupNote(
        made_at=now(), program=__version__, revision=revision, as_of=as_of, settings=_settings_noted(settings)
    )


def _settings_noted(settings: Settings) -> dict[str, str]:
    templates = settings.templates_dir
    named = [settings.feed_mapping, settings.targets, *(sorted(templates.glob("report.*")) if templates else [])]
    digests = {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in named if path and path.is_file()
    }
    values = {
        "encoder": settings.encoder,
        "encoder_model": settings.encoder_model,
        "feed_mapping": settings.feed_mapping,
        "targets": settings.targets,
        "templates_dir": templates,
    }
    noted = {f"MATCHING_{name.upper()}": str(value or "") for name, value in values.items()}
    return noted | {path: f"sha256 {digest}" for path, digest in digests.items()}


def _read_note(file: Path) -> BackupNote:
    try:
        with ZipFile(file) as archive, archive.open(_NOTE) as note:
            return BackupNote.model_validate_json(note.read(_MAX_NOTE_BYTES))
    except _UNREADABLE as error:
        raise _no_backup(file) from error


def _unpack(file: Path, folder: Path) -> None:
    """Unpack the database and the weights. Other members are left alone. Raises InvalidInput if there is no room."""
    with ZipFile(file) as archive:
        size, free = archive.getinfo(_DATABASE).file_size, shutil.disk_usage(folder).free
        if 3 * size > free:  # the unpacked one, the one that is kept, and the pages that the transaction replaces
            raise InvalidInput(
                "disk_full",
                Bilingual(
                    f"磁盘空间不足：{folder.parent} 需 {3 * size >> 20} MB，现有 {free >> 20} MB。",
                    f"{folder.parent} has {free >> 20} MB left, the restore needs {3 * size >> 20} MB.",
                ),
            )
        try:
            (folder / "weights").mkdir()
            for member in archive.infolist():
                name = member.filename.removeprefix(_WEIGHTS)
                is_weights = member.filename.startswith(_WEIGHTS) and name not in {"", ".."} and "/" not in name
                if member.filename == _DATABASE or is_weights:
                    target = folder / _DATABASE if member.filename == _DATABASE else folder / "weights" / name
                    with archive.open(member) as source, target.open("wb") as written:
                        shutil.copyfileobj(source, written, 1 << 20)
        except (*_UNREADABLE, OSError) as error:
            if isinstance(error, OSError):
                raise
            raise _no_backup(file) from error


def _replace_weights(source: Path, target: Path) -> None:
    """Copy the versions, and make that active which was active. ACTIVE goes in last: its version is there then."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir(), key=lambda path: path.name == "ACTIVE"):
        part = target / f".{path.name}.part"
        shutil.copyfile(path, part)
        part.replace(target / path.name)
    if not (source / "ACTIVE").exists():
        with suppress(FileNotFoundError):
            (target / "ACTIVE").unlink()


def _no_backup(file: Path) -> InvalidInput:
    return InvalidInput(
        "not_a_backup",
        Bilingual(
            f"{file} 不是本服务的备份文件，或已损坏；未作任何更改。",
            f"{file} is not a backup of this service, or it is damaged; nothing was changed.",
        ),
    )
