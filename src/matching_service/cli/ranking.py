"""``rerank`` and ``reindex``: lists and indexes made anew."""

from time import perf_counter
from typing import Annotated

import typer

from matching_service.cli.opening import open_engine, run
from matching_service.cli.output import AsJson, print_json, print_rows, progress, stdout
from matching_service.jobs import nightly

_MAX_ROWS_SHOWN = 20


def rerank(
    resume: Annotated[bool, typer.Option("--resume", help="续跑中断的任务。Complete an interrupted run.")] = False,
    as_json: AsJson = False,
) -> None:
    """重排全部开放需求，保存并报告变化。Rank all open demands, store the run, print what changed."""

    async def work() -> nightly.NightReport:
        async with open_engine(created=False) as engine:
            begun = await nightly.begin(engine, resume=resume)
            with progress("rerank", total=begun.n_demands) as advance:
                return await nightly.rerank(engine, begun, advance)

    report = run(work())
    if as_json:
        changes = [change.model_dump() for change in report.changes]
        summary = {name: getattr(report.run, name) for name in ("id", "state", "n_demands", "n_done", "n_failed")}
        print_json(summary | {"changes": changes})
    else:
        out = stdout()
        out.print(
            f"任务 {report.run.id}：{report.run.state}，完成 {report.run.n_done}，失败 {report.run.n_failed}；"
            f"{len(report.changes)} 个需求的名单有变化。"
        )
        rows = [(c.demand_id, len(c.entered), len(c.left), len(c.moved)) for c in report.changes]
        if rows:
            print_rows(("demand", "entered", "left", "moved"), rows[:_MAX_ROWS_SHOWN])
        if len(rows) > _MAX_ROWS_SHOWN:
            out.print(f"……另有 {len(rows) - _MAX_ROWS_SHOWN} 个，全部见 --json。 More with --json.")
    if report.run.n_failed or report.run.state != "finished":
        raise typer.Exit(1)


def reindex() -> None:
    """由数据库重建索引快照。Rebuild the index snapshots from the database."""

    async def work() -> None:
        async with open_engine(indexed=False, created=False) as engine:
            for name, index in (("profiles", engine.profiles), ("demands", engine.demands)):
                started = perf_counter()
                with progress(f"reindex {name}", total=None) as advance:
                    await index.rebuild(advance)
                    snapshot = await index.complete()
                    await index.save()
                stdout().print(
                    f"{name}: {snapshot.n_profiles} documents, {snapshot.n_passages} passages, "
                    f"as of {snapshot.as_of}, {perf_counter() - started:.1f} s"
                )

    run(work())
