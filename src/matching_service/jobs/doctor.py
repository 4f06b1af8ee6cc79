"""The doctor: examines an installation without changing it, and says what to do about each fault."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings.sources import DotEnvSettingsSource, EnvSettingsSource
from sqlalchemy import make_url, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.disclosure.mapping import load_mappings
from matching_service.foundation.clock import in_china, now
from matching_service.foundation.errors import Bilingual, MatchingError
from matching_service.foundation.settings import Settings
from matching_service.index.contract import SavedIndexRefused
from matching_service.index.snapshot import saved_as_of
from matching_service.programme.plan import load_plan
from matching_service.reports.files import load_templates
from matching_service.runs.queries import last_finished_run, running_run
from matching_service.store.database import Database
from matching_service.store.migrate import current_revision, newest_revision, schema_mismatch
from matching_service.store.outbox import OutboxRow, last_seq
from matching_service.store.sqlite_files import check_file

_PREFIX = "matching_"
_FREE_AT_LEAST = 200 << 20
_FREE_ENOUGH = 1 << 30
"""Beside twice the size of database and index, which a backup or a restore needs."""
_CLOCK_TOLERANCE = timedelta(minutes=1)
_NIGHT_OVERDUE = timedelta(hours=36)
_HEARTBEAT_OVERDUE = timedelta(hours=1)


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """advice : what to do; None if all is well."""

    check: str
    state: State
    message: Bilingual
    advice: Bilingual | None = None


CHECKS = {
    "settings": Bilingual("设置", "settings"),
    "mapping": Bilingual("字段映射", "mapping"),
    "plan": Bilingual("目标文件", "plan"),
    "templates": Bilingual("报告模板", "templates"),
    "disk": Bilingual("磁盘", "disk"),
    "database": Bilingual("数据库", "database"),
    "schema": Bilingual("数据库结构", "schema"),
    "index": Bilingual("索引", "index"),
    "clock": Bilingual("时钟", "clock"),
    "night_run": Bilingual("夜间任务", "night run"),
}


async def examine() -> AsyncIterator[CheckResult]:
    """Examine everything. A check that needs what an earlier one did not find is left out."""
    for finding in _settings_given():
        yield finding
    try:
        settings = Settings()
    except ValidationError as error:
        for each in error.errors():
            name = f"MATCHING_{str(each['loc'][0]).upper()}: " if each["loc"] else ""
            yield CheckResult("settings", State.ERROR, Bilingual(*[f"{name}{each['msg']}"] * 2), _CORRECT_SETTING)
        return
    yield CheckResult("settings", State.OK, Bilingual("所有设置可以读取。", "All settings can be read."))
    yield _file("mapping", lambda: load_mappings(settings.feed_mapping), settings.feed_mapping)
    yield _file("plan", lambda: load_plan(settings.targets), settings.targets)
    yield _file("templates", lambda: load_templates(settings.templates_dir), settings.templates_dir)
    yield _disk(settings)
    if (fault := _database_file(settings)) is not None:
        yield fault
        return
    database = Database(settings.effective_database_url)
    try:
        async for finding in _in_database(settings, database):
            yield finding
    except (SQLAlchemyError, OSError) as error:
        reason = str(error).splitlines()[0]
        yield CheckResult(
            "database",
            State.ERROR,
            Bilingual(f"无法连接：{reason}", f"Not reachable: {reason}"),
            Bilingual(
                "检查 MATCHING_DATABASE_URL，以及数据库服务是否在运行。",
                "Check MATCHING_DATABASE_URL, and that the database server runs.",
            ),
        )
    finally:
        await database.close()


_CORRECT_SETTING = Bilingual("改正该设置（docs/operations.md）。", "Correct the setting (docs/operations.md).")


def _settings_given() -> Iterator[CheckResult]:
    """Names that are no settings, and settings with an empty value."""
    given = {**DotEnvSettingsSource(Settings).env_vars, **EnvSettingsSource(Settings).env_vars}
    known = [f"{_PREFIX}{name}" for name in Settings.model_fields]
    for name, value in sorted(given.items()):
        if not name.lower().startswith(_PREFIX):
            continue
        shown = name.upper()
        if name.lower() not in known:
            nearest = next(iter(get_close_matches(name.lower(), known, n=1)), None)
            advice = (
                Bilingual(f"是否应为 {nearest.upper()}？", f"Should it be {nearest.upper()}?")
                if nearest is not None
                else Bilingual("删除它，或见 docs/operations.md。", "Remove it, or see docs/operations.md.")
            )
            yield CheckResult(
                "settings", State.WARNING, Bilingual(f"没有 {shown} 这项设置。", f"{shown} is not a setting."), advice
            )
        elif not (value or "").strip():
            yield CheckResult(
                "settings",
                State.WARNING,
                Bilingual(f"{shown} 的值为空。", f"The value of {shown} is empty."),
                Bilingual("填写它，或删去这一行以用默认值。", "Give a value, or remove the line for the default."),
            )


def _file(check: str, load: Callable[[], object], path: Path | None) -> CheckResult:
    try:
        load()
    except MatchingError as error:
        return CheckResult(check, State.ERROR, error.detail, Bilingual("改正该文件。", "Correct the file."))
    except OSError as error:
        unreadable = Bilingual(f"无法读取：{error}", f"Not readable: {error}")
        return CheckResult(check, State.ERROR, unreadable, _CORRECT_SETTING)
    place = Bilingual(str(path), str(path)) if path is not None else Bilingual("随程序所带", "the built-in one")
    return CheckResult(check, State.OK, Bilingual(f"可用：{place.zh}。", f"Usable: {place.en}."))


def _disk(settings: Settings) -> CheckResult:
    folder = settings.data_dir.absolute()
    present = next(path for path in (folder, *folder.parents) if path.exists())
    if not present.is_dir() or not os.access(present, os.W_OK):
        return CheckResult(
            "disk",
            State.ERROR,
            Bilingual(f"不能写入 {present}。", f"{present} cannot be written to."),
            Bilingual(
                "检查 MATCHING_DATA_DIR，以及文件夹属于运行服务的用户。",
                "Check MATCHING_DATA_DIR, and that the folder belongs to the user of the service.",
            ),
        )
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    free = shutil.disk_usage(present).free
    told = Bilingual(
        f"{folder} 已用 {used >> 20} MB，剩余 {free >> 20} MB。",
        f"{folder} has {used >> 20} MB, {free >> 20} MB are free.",
    )
    if free > 2 * used + _FREE_ENOUGH:
        return CheckResult("disk", State.OK, told)
    state = State.ERROR if free < _FREE_AT_LEAST else State.WARNING
    return CheckResult("disk", state, told, Bilingual("清理或扩大磁盘。", "Free some space, or enlarge the disk."))


def _database_file(settings: Settings) -> CheckResult | None:
    """What is wrong with the file of SQLite. It is not opened if it does not exist, because that would make it."""
    url = make_url(settings.effective_database_url)
    if url.get_backend_name() != "sqlite":
        return None
    path = Path(url.database or "")
    if not path.is_file() or not path.stat().st_size:
        return CheckResult(
            "database",
            State.ERROR,
            Bilingual(f"没有数据库 {path}。", f"There is no database {path}."),
            Bilingual(
                "检查 MATCHING_DATA_DIR 与 MATCHING_DATABASE_URL；新安装请运行 matching-service migrate。",
                "Check MATCHING_DATA_DIR and MATCHING_DATABASE_URL; if it is to be new, run matching-service migrate.",
            ),
        )
    try:
        check_file(path)
    except MatchingError as error:
        advice = Bilingual(
            "停止服务，matching-service restore 备份。", "Stop the service, then matching-service restore."
        )
        return CheckResult("database", State.ERROR, error.detail, advice)
    return None


async def _in_database(settings: Settings, database: Database) -> AsyncIterator[CheckResult]:
    revision, needed = await current_revision(database), newest_revision()
    shown = database.url.render_as_string(hide_password=True)
    yield CheckResult("database", State.OK, Bilingual(f"可用：{shown}。", f"Reachable: {shown}."))
    if revision != needed:
        detail = schema_mismatch(revision).detail
        yield CheckResult("schema", State.ERROR, detail, Bilingual("先备份，再升级。", "Back up first, then upgrade."))
        return
    yield CheckResult("schema", State.OK, Bilingual(f"版本 {revision}。", f"At revision {revision}."))
    async with database.snapshot() as session:
        for entity in ("profile", "demand"):
            newest = await last_seq(session, entity=entity)
            yield _index(settings.snapshot_dir / f"{entity}s", newest)
        yield await _clock(session)
        yield await _night_run(session)


def _index(folder: Path, newest: int) -> CheckResult:
    rebuilt = Bilingual("启动时会由数据库重建；或运行 reindex。", "It is rebuilt at the next start, or by reindex.")
    try:
        as_of = saved_as_of(folder)
    except SavedIndexRefused as damage:
        broken = Bilingual(f"{folder} 已损坏：{damage}", f"{folder} is damaged: {damage}")
        return CheckResult("index", State.WARNING, broken, rebuilt)
    if as_of is None:
        nothing = Bilingual(f"{folder} 中尚无索引。", f"There is no index in {folder} yet.")
        return CheckResult("index", State.WARNING if newest else State.OK, nothing, rebuilt if newest else None)
    if as_of > newest:
        ahead = Bilingual(
            f"{folder} 含第 {as_of} 号变更，数据库只到第 {newest} 号：数据库被恢复过，或是另一个数据库。",
            f"{folder} includes change {as_of}, the database ends at {newest}: it was restored, or is another one.",
        )
        advice = Bilingual(
            "运行 matching-service reindex，然后重启服务。", "Run matching-service reindex, then restart the service."
        )
        return CheckResult("index", State.ERROR, ahead, advice)
    told = Bilingual(f"{folder} 含至第 {as_of} 号变更。", f"{folder} includes the changes up to {as_of}.")
    return CheckResult("index", State.OK, told)


async def _clock(session: AsyncSession) -> CheckResult:
    newest = await session.scalar(select(OutboxRow.at).order_by(OutboxRow.seq.desc()).limit(1))
    present = now()
    if newest is None or newest <= present + _CLOCK_TOLERANCE:
        told = Bilingual(f"现在 {_shown(present)}。", f"It is {_shown(present)}.")
        return CheckResult("clock", State.OK, told)
    return CheckResult(
        "clock",
        State.ERROR,
        Bilingual(
            f"时钟为 {_shown(present)}，而最新记录写于 {_shown(newest)}。",
            f"The clock says {_shown(present)}, but the newest record was written at {_shown(newest)}.",
        ),
        Bilingual("校准时钟（timedatectl set-ntp true）。", "Set the clock (timedatectl set-ntp true)."),
    )


async def _night_run(session: AsyncSession) -> CheckResult:
    advice = Bilingual(
        "systemctl list-timers 'matching-*'；journalctl -u matching-rerank。",
        "See systemctl list-timers 'matching-*' and journalctl -u matching-rerank.",
    )
    present, running, last = now(), await running_run(session), await last_finished_run(session)
    if running is not None and (running.heartbeat_at or running.created_at) < present - _HEARTBEAT_OVERDUE:
        told = Bilingual(f"任务 {running.id} 已中断。", f"Run {running.id} was interrupted.")
        resume = Bilingual("matching-service rerank --resume", "matching-service rerank --resume")
        return CheckResult("night_run", State.WARNING, told, resume)
    if last is None or last.finished_at is None:
        never = Bilingual("尚无完成的夜间任务。", "No night run has finished yet.")
        return CheckResult("night_run", State.WARNING, never, advice)
    age = present - last.finished_at
    hours = age / timedelta(hours=1)
    told = Bilingual(f"上次完成于 {hours:.1f} 小时前。", f"The last one finished {hours:.1f} hours ago.")
    if age > _NIGHT_OVERDUE:
        return CheckResult("night_run", State.WARNING, told, advice)
    return CheckResult("night_run", State.OK, told)


def _shown(moment: datetime) -> str:
    return f"{in_china(moment):%Y-%m-%d %H:%M:%S} (+08:00)"
