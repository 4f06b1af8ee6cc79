"""``backup`` and ``restore``: an installation with SQLite in one file. On PostgreSQL they name the commands to use."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from sqlalchemy import make_url

from matching_service.cli.output import AsJson, fail, print_json, print_line
from matching_service.cli.settings import read_settings
from matching_service.foundation.settings import Settings
from matching_service.jobs.backups import make_backup, restore_backup, sqlite_path
from matching_service.store.migrate import newest_revision


def backup(
    file: Annotated[
        Path, typer.Argument(help="备份文件，如 2026-12-01.zip。The file to write, such as 2026-12-01.zip.")
    ],
    as_json: AsJson = False,
) -> None:
    settings = read_settings()
    if (database := sqlite_path(settings)) is None:
        _use_postgresql(
            settings,
            f"pg_dump --format=custom --file={file} --dbname={{url}}",
            then=f"tar -czf {file}.weights.tar.gz -C {settings.data_dir} weights",
        )
    note = make_backup(settings, database, file)
    if as_json:
        print_json(note.model_dump(mode="json") | {"file": str(file)})
        return
    size_mb = file.stat().st_size / 1e6
    print_line(f"已备份到 {file}（{size_mb:.1f} MB，含第 {note.as_of} 号变更及以前的全部内容）。")
    print_line(f"Backed up to {file}: {size_mb:.1f} MB, with every change up to number {note.as_of}.")


def restore(
    file: Annotated[
        Path, typer.Argument(help="backup 写的文件。A file that backup wrote.", exists=True, dir_okay=False)
    ],
    as_json: AsJson = False,
) -> None:
    settings = read_settings()
    if (database := sqlite_path(settings)) is None:
        _use_postgresql(
            settings,
            f"pg_restore --clean --if-exists --no-owner --exit-on-error --single-transaction --dbname={{url}} {file}",
            then=f"rm -r {settings.snapshot_dir}",
        )
    restored = restore_backup(settings, database, file)
    note = restored.note
    if as_json:
        print_json(
            note.model_dump(mode="json") | {"kept": restored.kept, "changed_settings": restored.changed_settings}
        )
        return
    print_line(f"已恢复 {note.made_at:%Y-%m-%d %H:%M} UTC 的备份（第 {note.as_of} 号变更及以前）；索引将在启动时重建。")
    print_line(f"Restored the backup of {note.made_at:%Y-%m-%d %H:%M} UTC, with every change up to {note.as_of}.")
    print_line("The index is rebuilt at the next start.")
    if restored.kept is not None:
        print_line(
            f"原数据库保存为 {restored.kept}，不再需要时请删除。The former database is kept there; delete it later."
        )
    for name, then, present in restored.changed_settings:
        print_line(f"设置已不同 another setting: {name}: 备份时 then {then or '-'}，现在 now {present or '-'}")
    if note.revision != newest_revision():
        print_line("备份来自较旧的程序，请先运行 then run: matching-service migrate")


def _use_postgresql(settings: Settings, command: str, *, then: str) -> NoReturn:
    """Name the commands for PostgreSQL. They take the password from PGPASSWORD or ~/.pgpass."""
    url = make_url(settings.effective_database_url).set(drivername="postgresql", password=None)
    commands = f"{command.format(url=f'{url.render_as_string()!r}')} && {then}"
    fail(f"PostgreSQL 请用其自带的命令（先停止服务再恢复）：{commands}",
         f"PostgreSQL has commands of its own (stop the service before restoring): {commands}")  # fmt: skip
