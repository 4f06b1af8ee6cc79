"""The command line. Results go to stdout, progress and logs to stderr; 0 done, 1 failed, 2 wrong use."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, TypeVar

import typer
import uvicorn
from pydantic import ValidationError as SettingsError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from matching_service.access import service as access
from matching_service.access.policies import COMMAND_LINE, Role
from matching_service.app import create_engine
from matching_service.demands.states import DemandStatus
from matching_service.exchange.exports import export_file
from matching_service.exchange.headings import FORMS
from matching_service.exchange.imports import ImportReport, StrictImportRefused, import_file
from matching_service.foundation.errors import MatchingError, NotFound, Text
from matching_service.foundation.logs import configure_logs
from matching_service.foundation.settings import Settings
from matching_service.jobs import demo as sample_city
from matching_service.jobs import nightly
from matching_service.jobs.evaluation import K, evaluate_files
from matching_service.matching.service import Engine
from matching_service.profiles.schemas import KIND_NAMES
from matching_service.profiles.service import upsert_profiles
from matching_service.profiles.societies import builtin_societies
from matching_service.ranking.calibrate import LEVEL_NAMES
from matching_service.ranking.encoder import load_encoder
from matching_service.store import migrate as migrations
from matching_service.store.database import Database

app = typer.Typer(
    help="企业创新瓶颈问题需求匹配服务。Matches enterprises' technical demands with those who can solve them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
keys = typer.Typer(help="接口密钥。API keys.", no_args_is_help=True)
app.add_typer(keys, name="keys")

Result = TypeVar("Result")
_WIDTH_OF_A_PIPE = 132
_MAX_BAD_ROWS_SHOWN = 100
_MAX_ROWS_SHOWN = 20
_MAX_KEY_NAME = 100


_NO_DATABASE = Text(
    "没有数据库。请检查 MATCHING_DATABASE_URL 与 MATCHING_DATA_DIR，或先运行 matching-service migrate。",
    "There is no database. Check MATCHING_DATABASE_URL and MATCHING_DATA_DIR, or run matching-service migrate first.",
)


class Imported(StrEnum):
    DEMANDS = "demands"
    PROFILES = "profiles"
    ORGANIZATIONS = "organizations"


class Exported(StrEnum):
    DEMANDS = "demands"
    PROFILES = "profiles"
    ORGANIZATIONS = "organizations"
    MATCHES = "matches"


def _checked_name(name: str) -> str:
    if not name.strip() or len(name) > _MAX_KEY_NAME:
        raise typer.BadParameter(f"1 至 {_MAX_KEY_NAME} 个字符。1 to {_MAX_KEY_NAME} characters.")
    return name.strip()


AsJson = Annotated[bool, typer.Option("--json", help="以 JSON 输出。Print JSON instead of a table.")]


def main() -> None:
    """Entry point of ``matching-service``."""
    try:
        app()
    except MatchingError as error:
        _fail(error.detail.zh, error.detail.en)
    except SettingsError as error:
        found = "; ".join(f"MATCHING_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        _fail(f"设置有误：{found}", f"Wrong setting: {found}")
    except (SQLAlchemyError, OSError) as error:
        reason = str(error).splitlines()[0]
        _fail(
            f"数据库或文件不可用：{reason}。请检查 MATCHING_DATABASE_URL 与 MATCHING_DATA_DIR。",
            f"Database or file not usable: {reason}. Check MATCHING_DATABASE_URL and MATCHING_DATA_DIR.",
        )


@app.command()
def migrate() -> None:
    """创建或升级数据库。Create or upgrade the database."""

    async def run() -> None:
        async with _database(prepared=False) as database:
            before = await migrations.current_revision(database)
            await migrations.upgrade(database)
            after = await migrations.current_revision(database)
        _out().print(f"{before or '-'} -> {after}")

    _run(run())


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="监听地址。Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="端口。Port.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="工作进程数。Worker processes.")] = 1,
) -> None:
    """启动 HTTP 服务；空数据库会先建表。Serve over HTTP; an empty database is migrated first."""

    async def prepare() -> None:
        async with _database():
            pass

    _run(prepare())
    try:
        uvicorn.run(
            "matching_service.app:create_app", factory=True, host=host, port=port, workers=workers, log_config=None,
            server_header=False,
        )  # fmt: skip
    except SystemExit as stop:
        if stop.code:
            _fail(
                f"服务未能在 {host}:{port} 启动；端口可能已被占用，原因见上面的日志。",
                f"The server did not start on {host}:{port}; the port may be in use, the log above tells why.",
            )
        raise


@keys.command("create")
def create_key(
    role: Annotated[Role, typer.Option(help="portal 门户，staff 工作人员，batch 批处理，admin 管理员。")],
    name: Annotated[str, typer.Option(help="用途或持有人。What or whom it is for.", callback=_checked_name)],
    expires: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="失效日期（UTC）。Day from which it is refused.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """生成密钥，仅显示一次。Make a key; it is printed alone, this once."""

    async def run() -> None:
        async with _database() as database, database.transaction() as session:
            row, key = await access.create_key(
                session,
                name=name,
                role=role,
                expires_at=expires.replace(tzinfo=UTC) if expires else None,
                actor=COMMAND_LINE,
            )
        print(json.dumps({"id": row.id, "key": key}) if as_json else key)  # noqa: T201

    _run(run())


@keys.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """列出密钥（不含密钥本身）。List keys, without the keys themselves."""

    async def run() -> None:
        async with _database(created=False) as database, database.reading() as session:
            rows = await access.list_keys(session)
        columns = ("id", "name", "role", "created_at", "expires_at", "revoked_at")
        _print_rows(columns, [[getattr(row, column) for column in columns] for row in rows], as_json=as_json)

    _run(run())


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="keys list 显示的 id。The id that keys list shows.")],
) -> None:
    """吊销密钥。Revoke a key."""

    async def run() -> None:
        async with _database(created=False) as database, database.transaction() as session:
            row = await access.revoke_key(session, key_id, actor=COMMAND_LINE)
        _out().print(f"{row.id} revoked_at {row.revoked_at}")

    _run(run())


@app.command("import")
def import_(
    what: Annotated[Imported, typer.Argument(help="导入什么。What to import.")],
    file: Annotated[Path, typer.Argument(help=".jsonl、.csv 或 .xlsx，UTF-8 或 GB18030。")],
    source: Annotated[str | None, typer.Option(help="未写来源的行用此来源。Source of rows that name none.")] = None,
    kind: Annotated[str | None, typer.Option(help="未写类别的画像用此类别。Kind of profiles that name none.")] = None,
    status: Annotated[
        DemandStatus | None, typer.Option(help="未写状态的需求用此状态。State of demands that name none.")
    ] = None,
    strict: Annotated[bool, typer.Option(help="有坏行则一行也不存。Store nothing when any row is bad.")] = False,
    as_json: AsJson = False,
) -> None:
    """导入文件；坏行按行号列名报告，不影响好行。Import a file; bad rows are reported and stop no good one."""
    fields = {"source": source, "kind": kind, "status": status}
    defaults = {name: value for name, value in fields.items() if value is not None}
    if kind is not None and kind not in KIND_NAMES:
        raise typer.BadParameter(f"--kind: {', '.join(KIND_NAMES)}")
    if wrong := defaults.keys() - FORMS[what].columns:
        raise typer.BadParameter(f"{what} 没有这些列 has no column {', '.join(sorted(wrong))}")

    async def run() -> ImportReport:
        async with _database() as database:
            with _progress(f"import {what}", total=None) as advance:
                return await import_file(
                    database, what.value, file, COMMAND_LINE, defaults=defaults, strict=strict, on_progress=advance
                )

    try:
        report = _run(run())
    except StrictImportRefused as refused:
        _print_bad_rows(refused.report)
        _fail("有坏行，按 --strict 未保存任何行。", "There are bad rows; because of --strict nothing was stored.")
    _print_bad_rows(report)
    counts = (report.created, report.updated, report.unchanged, len(report.bad_rows))
    columns = ("created", "updated", "unchanged", "bad")
    if as_json:
        print(json.dumps(dict(zip(columns, counts, strict=True))))  # noqa: T201
    else:
        _print_rows(columns, [counts], as_json=False)
    if report.bad_rows:
        raise typer.Exit(1)


@app.command()
def export(
    what: Annotated[Exported, typer.Argument(help="导出什么。What to export.")],
    file: Annotated[Path, typer.Argument(help="目标文件：.jsonl、.csv 或 .xlsx。The file to write.")],
) -> None:
    """导出文件；再导入不改变任何内容。Export to a file; importing it again changes nothing."""

    async def run() -> int:
        async with _database(created=False) as database:
            with _progress(f"export {what}", total=None) as advance:
                return await export_file(database, what.value, file, on_progress=advance)

    _out().print(f"{_run(run())} {what} -> {file}")


@app.command("load-societies")
def load_societies(as_json: AsJson = False) -> None:
    """载入内置的全国学会名录，可重复执行。Store the built-in national societies; running it twice changes nothing."""

    async def run() -> None:
        async with _database() as database, database.transaction() as session:
            stored = await upsert_profiles(session, list(builtin_societies()), COMMAND_LINE)
        statuses = [result.status for result in stored]
        counts = [statuses.count(status) for status in ("created", "updated", "unchanged")]
        _print_rows(("created", "updated", "unchanged"), [counts], as_json=as_json)

    _run(run())


@app.command()
def rerank(
    resume: Annotated[bool, typer.Option("--resume", help="续跑中断的任务。Complete an interrupted run.")] = False,
    as_json: AsJson = False,
) -> None:
    """重排全部开放需求，保存并报告变化。Rank all open demands, store the run, print what changed."""

    async def run() -> nightly.NightReport:
        async with _engine(created=False) as engine:
            begun = await nightly.begin(engine, resume=resume)
            with _progress("rerank", total=begun.n_demands) as advance:
                return await nightly.rerank(engine, begun, advance)

    report = _run(run())
    if as_json:
        changes = [change.model_dump() for change in report.changes]
        summary = {name: getattr(report.run, name) for name in ("id", "state", "n_demands", "n_done", "n_failed")}
        print(json.dumps(summary | {"changes": changes}, ensure_ascii=False))  # noqa: T201
    else:
        _out().print(
            f"任务 {report.run.id}：{report.run.state}，完成 {report.run.n_done}，失败 {report.run.n_failed}；"
            f"{len(report.changes)} 个需求的名单有变化。"
        )
        rows = [(c.demand_id, len(c.entered), len(c.left), len(c.moved)) for c in report.changes]
        if rows:
            _print_rows(("demand", "entered", "left", "moved"), rows[:_MAX_ROWS_SHOWN], as_json=False)
        if len(rows) > _MAX_ROWS_SHOWN:
            _out().print(f"……另有 {len(rows) - _MAX_ROWS_SHOWN} 个，全部见 --json。 More with --json.")
    if report.run.n_failed or report.run.state != "finished":
        raise typer.Exit(1)


@app.command()
def evaluate(
    demands: Annotated[Path, typer.Option(help="需求文件。File of demands.")],
    profiles: Annotated[Path, typer.Option(help="画像文件。File of profiles.")],
    labels: Annotated[Path, typer.Option(help="标注：需求、画像、等级 0-3。Judged pairs: demand, profile, grade.")],
    as_json: AsJson = False,
) -> None:
    """在标注数据上测量排序质量。Measure ranking quality on judged pairs."""
    report = evaluate_files(demands, profiles, labels, load_encoder(Settings().encoder))
    if as_json:
        results = {result.name: {"mean": result.mean, "per_demand": result.per_demand} for result in report.results}
        levels = {level: [grades.count(g) for g in range(4)] for level, grades in report.grades_by_level.items()}
        body = {"measure": f"ndcg@{K}", "n_demands": report.n_demands, "n_pairs": report.n_pairs}
        print(json.dumps(body | {"results": results, "grades_by_level": levels}, ensure_ascii=False))  # noqa: T201
        return
    _out().print(f"{report.n_demands} demands with a positive judgement, {report.n_pairs} judged pairs")
    _print_rows(("ranker", f"nDCG@{K}"), [(r.name, f"{r.mean:.4f}") for r in report.results], as_json=False)
    rows = [
        (LEVEL_NAMES[level].zh, level, len(grades), *(_share(grades, grade) for grade in range(4)))
        for level, grades in report.grades_by_level.items()
    ]
    _print_rows(("匹配度", "level", "pairs", "grade 0", "grade 1", "grade 2", "grade 3"), rows, as_json=False)


@app.command()
def reindex() -> None:
    """由数据库重建索引快照。Rebuild the index snapshots from the database."""

    async def run() -> None:
        async with _engine(opened=False, created=False) as engine:
            for name, index in (("profiles", engine.profiles), ("demands", engine.demands)):
                started = perf_counter()
                with _progress(f"reindex {name}", total=None) as advance:
                    snapshot = await index.rebuild(advance)
                    await index.save()
                _out().print(
                    f"{name}: {len(snapshot.profile_ids)} documents, {len(snapshot.work_ids)} passages, "
                    f"as of {snapshot.as_of}, {perf_counter() - started:.1f} s"
                )

    _run(run())


@app.command()
def demo() -> None:
    """示例城市：载入、匹配、打印。The sample city: load, rank, print."""
    folder = Settings().data_dir / "demo"
    settings = Settings(data_dir=folder, database_url="")
    sample_city.remove_demo(folder)
    out = _out()

    async def run() -> Sequence[sample_city.ShownList]:
        async with _engine(settings) as engine:
            await sample_city.load_sample_city(engine, lambda what, n: out.print(f"  载入 loaded {what}: {n}"))
            with _progress("匹配 ranking", total=None) as advance:
                return await sample_city.rank_sample_city(engine, advance)

    started = perf_counter()
    out.print("[bold]示例城市 The sample city[/bold]")
    for shown in _run(run()):
        _print_list(out, shown)
    command = _own_command()
    out.print(
        f"\n用时 {perf_counter() - started:.1f} 秒；结果已保存在 {folder}。启动服务 To serve it:\n"
        f"  export MATCHING_DATA_DIR={folder}\n"
        f"  {command} keys create --role admin --name me\n"
        f"  {command} serve          # http://127.0.0.1:8000/docs",
        soft_wrap=True,
    )


def _print_list(out: Console, shown: sample_city.ShownList) -> None:
    table = Table(
        title=escape(f"{shown.demand.title}（{shown.demand.cluster}）"), title_justify="left", show_lines=True
    )
    table.add_column("#", justify="right")
    table.add_column("名称", overflow="fold")
    table.add_column("类别", no_wrap=True)
    table.add_column("得分", justify="right")
    table.add_column("匹配度", no_wrap=True)
    table.add_column("理由", ratio=1, overflow="fold")
    for item in shown.matches.items[:5]:
        reason = item.explanation.reason.zh if item.explanation else ""
        cells = (
            item.profile.name,
            KIND_NAMES[item.profile.kind].zh,
            f"{item.score:.2f}",
            LEVEL_NAMES[item.level].zh,
            reason,
        )
        table.add_row(str(item.rank), *(escape(cell) for cell in cells))
    out.print()
    out.print(table)


def _own_command() -> str:
    """How this command line was called, so that it can be called again."""
    path = Path(sys.argv[0])
    if path.name == "__main__.py":
        return "python -m matching_service"
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    try:
        settings = Settings()
    except SettingsError:
        work.close()
        raise
    configure_logs(settings.log_level if "log_level" in settings.model_fields_set else "WARNING")
    return asyncio.run(work)


@asynccontextmanager
async def _database(
    settings: Settings | None = None, *, prepared: bool = True, created: bool = True
) -> AsyncIterator[Database]:
    """The database of the settings. ``prepared`` refuses one of another revision; ``created`` makes a new one where
    there is none, which a command that only reads or ranks must not do: a mistyped path would look like success.
    """
    database = Database((settings or Settings()).effective_database_url)
    try:
        if prepared and await migrations.is_empty(database):
            if not created:
                raise NotFound("no_database", _NO_DATABASE)
            await migrations.upgrade(database)
        if prepared:
            await migrations.check_schema(database)
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def _engine(
    settings: Settings | None = None, *, opened: bool = True, created: bool = True
) -> AsyncIterator[Engine]:
    chosen = settings or Settings()
    async with _database(chosen, created=created) as database:
        engine = create_engine(chosen, database)
        if opened:
            await engine.profiles.open()
        yield engine


@contextmanager
def _progress(what: str, *, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr when that is a terminal; silence otherwise."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda n: progress.advance(task, n)


def _out() -> Console:
    """stdout; a pipe is given a fixed width, because it has none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE)


def _print_rows(columns: Sequence[str], rows: Sequence[Sequence[object]], *, as_json: bool) -> None:
    if as_json:
        records = [dict(zip(columns, row, strict=True)) for row in rows]
        print(json.dumps(records, ensure_ascii=False, default=_json_value))  # noqa: T201
        return
    table = Table()
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*("" if cell is None else escape(str(cell)) for cell in row))
    _out().print(table)


def _json_value(value: object) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def _print_bad_rows(report: ImportReport) -> None:
    err = Console(stderr=True, highlight=False, soft_wrap=True)
    for bad in report.bad_rows[:_MAX_BAD_ROWS_SHOWN]:
        for error in bad.errors:
            column = error.pointer.removeprefix("/") or "-"
            err.print(
                escape(f"第 {bad.line} 行 line {bad.line}, 列 column {column}: {error.message.zh} {error.message.en}")
            )
    if (more := len(report.bad_rows) - _MAX_BAD_ROWS_SHOWN) > 0:
        err.print(f"……另有 {more} 行。and {more} more rows.")


def _fail(zh: str, en: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(escape(f"错误：{zh}\nError: {en}"))
    sys.exit(1)


def _share(grades: Sequence[int], grade: int) -> str:
    return f"{grades.count(grade) / len(grades):.0%}" if grades else "-"
