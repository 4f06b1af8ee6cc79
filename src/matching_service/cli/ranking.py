"""``rerank`` and ``reindex``: rank demands again, and rebuild the indexes."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import timedelta
from time import perf_counter
from typing import Annotated

import typer
from rich.markup import escape

from matching_service.cli.engine import open_engine
from matching_service.cli.opening import run
from matching_service.cli.output import AsJson, print_json, print_rows, progress, stderr, stdout
from matching_service.engines import create_engine
from matching_service.foundation.clock import now
from matching_service.foundation.settings import Settings
from matching_service.jobs import nightly
from matching_service.jobs.processes import MIN_DEMANDS, ranking_processes
from matching_service.jobs.pruning import prune_answers
from matching_service.matching.ranking import rank_many
from matching_service.runs.chunks import RankMany
from matching_service.runs.service import RESUME_PATIENCE_S, START_PATIENCE_S
from matching_service.shortlists.schemas import DemandChanges
from matching_service.store.shortlists import RunScope, RunState


def rerank(
    changed: Annotated[
        bool,
        typer.Option(
            "--changed",
            help="只重排自身或其候选有变化的需求。Only demands for which something changed since the last run.",
        ),
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="续跑中断的任务。Complete an interrupted run.")] = False,
    as_json: AsJson = False,
) -> None:
    if changed and resume:
        raise typer.BadParameter("--changed 与 --resume 不能同用。Not both: a run is resumed as it was started.")

    async def work() -> tuple[nightly.NightReport, Sequence[DemandChanges]]:
        async with open_engine(created=False) as engine:
            begun = await nightly.begin(engine, resume=resume, scope=RunScope.CHANGED if changed else RunScope.OPEN)
            patience_s = RESUME_PATIENCE_S if resume else START_PATIENCE_S
            with ExitStack() as stack:
                rank: RankMany = rank_many
                if begun.scope == RunScope.OPEN and begun.n_demands >= MIN_DEMANDS:
                    await engine.save()  # the worker processes map this snapshot
                    rank = stack.enter_context(ranking_processes(Settings(), create_engine)).rank
                advance = stack.enter_context(progress("rerank", total=begun.n_demands))
                report = await nightly.rerank(engine, begun, advance, patience_s=patience_s, rank=rank)
            answers_kept = timedelta(hours=Settings().idempotency_hours)
            await prune_answers(engine.database, before=now() - answers_kept)
            return report, await nightly.all_changes(engine, begun.id) if as_json else []

    report, changes = run(work())
    if as_json:
        print_json(_summary(report) | {"changes": [change.model_dump() for change in changes]})
    else:
        _print_report(report)
    if report.run.n_failed or report.run.state != RunState.FINISHED:
        raise typer.Exit(1)


def _summary(report: nightly.NightReport) -> dict[str, object]:
    counts = ("id", "scope", "state", "n_demands", "n_done", "n_kept", "n_failed")
    return {name: getattr(report.run, name) for name in counts} | {
        "failures": [{"demand_id": row.demand_id, "error": row.error} for row in report.failures],
        "clusters": [asdict(cluster) for cluster in report.clusters],
    }


def _print_report(report: nightly.NightReport) -> None:
    run = report.run
    n_changed = sum(cluster.n_demands for cluster in report.clusters)
    stdout().print(
        f"任务 {run.id}：{run.state}，重排 {run.n_done}，沿用 {run.n_kept}，失败 {run.n_failed}；"
        f"{n_changed} 个需求的名单有变化。"
    )
    if report.clusters:
        print_rows(
            ("产业集群 cluster", "需求 demands", "新进 entered", "退出 left", "移动 moved"),
            [(c.cluster or "-", c.n_demands, c.n_entered, c.n_left, c.n_moved) for c in report.clusters],
        )
        stdout().print(f"逐个原因见 GET /v1/match-runs/{run.id}/changes 或 --json。Why: there, or with --json.")
    for row in report.failures:
        stderr().print(escape(f"需求 demand {row.demand_id}: {row.error}"))


def reindex() -> None:
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
            stdout().print(f"vectors: {await engine.forget_unused_vectors()} forgotten")

    run(work())
