"""The nightly run: visible at once when finished, resumable with an equal result, stopped by no single demand."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from nights import N_DEMANDS, WORDS, ids_of, rerank, shown, small_city
from sqlalchemy import select

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.schemas import DemandImport
from matching_service.demands.service import upsert_demands
from matching_service.engines import create_engine
from matching_service.files.imports import import_file
from matching_service.foundation.clock import now
from matching_service.foundation.errors import Conflict, NotFound
from matching_service.foundation.settings import Settings
from matching_service.jobs import nightly
from matching_service.matching import ranking as rankings
from matching_service.matching.engine import Engine
from matching_service.matching.weights import CrossValidation, WeightsFile, WeightsStore
from matching_service.profiles.schemas import ProfileImport
from matching_service.profiles.service import upsert_profiles
from matching_service.ranking.encoder import NoEncoder
from matching_service.ranking.fusion import SIGNALS
from matching_service.runs import chunks
from matching_service.runs import queries as run_queries
from matching_service.runs import service as runs
from matching_service.shortlists import queries
from matching_service.shortlists.schemas import DecisionBody
from matching_service.shortlists.service import decide, latest_matches
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.outbox import OutboxRow
from matching_service.store.shortlists import MatchListRow, MatchRunRow


@pytest.fixture
async def engine(database: Database, tmp_path: Path) -> Engine:
    return await small_city(database, tmp_path)


async def demand_ids(engine: Engine) -> dict[str, str]:
    return await ids_of(engine, DemandRow)


async def visible(engine: Engine) -> dict[str, list[tuple[str, int, float]]]:
    """The list that people see, for each demand that has one."""
    return {
        external_id: [(item.profile.id, item.rank, item.score) for item in items]
        for external_id, items in (await shown(engine)).items()
    }


async def test_there_is_nothing_to_resume_at_first(engine: Engine) -> None:
    with pytest.raises(NotFound) as missing:
        await nightly.begin(engine, resume=True)
    assert missing.value.code == "no_interrupted_run"


async def test_a_second_start_is_refused_and_names_the_first(engine: Engine) -> None:
    first = await nightly.begin(engine, resume=False)
    with pytest.raises(Conflict, match=first.id) as refused:
        await nightly.begin(engine, resume=False)
    assert refused.value.code == "run_in_progress"
    assert "--resume" in refused.value.detail.zh
    assert (await rerank(engine, resume=True)).run.id == first.id
    assert (await rerank(engine)).run.id != first.id


async def test_of_two_starts_at_the_same_moment_one_is_refused(engine: Engine) -> None:
    both_looked = asyncio.Barrier(2)

    async def start() -> MatchRunRow:
        async with engine.database.transaction() as session:
            if not engine.database.is_sqlite:  # there the second waits for the first anyhow
                await session.scalar(select(MatchRunRow.id))
                await both_looked.wait()
            return await runs.start_run(engine, session, COMMAND_LINE)

    outcomes = await asyncio.gather(start(), start(), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == [Conflict]
    async with engine.database.reading() as session:
        assert len(list(await session.scalars(select(MatchRunRow)))) == 1


async def test_every_open_demand_gets_a_list(engine: Engine) -> None:
    told: list[int] = []
    begun = await nightly.begin(engine, resume=False)
    assert (begun.state, begun.n_demands, begun.scope) == ("running", N_DEMANDS, "open")
    report = await nightly.rerank(engine, begun, told.append)
    assert (report.run.state, report.run.n_done, report.run.n_failed) == ("finished", N_DEMANDS, 0)
    assert report.run.finished_at is not None
    assert sum(told) == N_DEMANDS
    lists = await visible(engine)
    assert sorted(lists) == [f"D{n}" for n in range(N_DEMANDS)]
    for entries in lists.values():
        assert 5 <= len(entries) <= 20
        assert [rank for _, rank, _ in entries] == list(range(1, len(entries) + 1))
        assert [score for _, _, score in entries] == sorted((score for _, _, score in entries), reverse=True)
    async with engine.database.reading() as session:
        events = list(await session.scalars(select(OutboxRow.event).where(OutboxRow.entity == "match_run")))
    assert events == ["match_run.finished"]


async def test_stored_lists_are_explained_and_their_parts_sum_to_the_score(engine: Engine) -> None:
    await rerank(engine)
    ids = await demand_ids(engine)
    async with engine.database.reading() as session:
        answer = await latest_matches(session, ids["D0"])
    for item in answer.items:
        assert item.explanation is not None
        assert abs(sum(part.contribution for part in item.explanation.parts) - item.score) < 1e-6
        assert item.match_id is not None


async def test_the_run_says_what_made_it(engine: Engine) -> None:
    run = (await rerank(engine)).run
    snapshot = engine.profiles.snapshot
    assert (run.index_version, run.index_as_of, run.index_profiles) == (snapshot.version, snapshot.as_of, 30)
    assert run.encoder_version == "none"
    assert run.lexicon_version
    assert run.weights_version


async def test_the_first_run_enters_everybody_and_a_repeated_one_changes_nothing(engine: Engine) -> None:
    first = await rerank(engine)
    before = await visible(engine)
    assert sorted(len(change.entered) for change in first.changes) == sorted(
        len(entries) for entries in before.values()
    )
    assert (await rerank(engine)).changes == []
    assert await visible(engine) == before


async def test_a_new_profile_enters_and_a_hidden_one_leaves(engine: Engine) -> None:
    await rerank(engine)
    top = (await visible(engine))["D0"][0][0]
    async with engine.database.transaction() as session:
        new, hidden = (
            ProfileImport(external_id="NEW", kind="expert", name="新专家", summary="谐波减速器难题"),
            ProfileImport(kind="expert", name="-", id=top, visibility="hidden"),
        )
        stored = await upsert_profiles(session, [new, hidden], COMMAND_LINE)
    report = await rerank(engine)
    demand_id = (await demand_ids(engine))["D0"]
    (change,) = [change for change in report.changes if change.demand_id == demand_id]
    assert stored[0].id in [entry.profile_id for entry in change.entered]
    assert top in [entry.profile_id for entry in change.left]


class Broken(BaseException):
    """Not an error that somebody could handle, but the end of the process."""


def break_off(monkeypatch: pytest.MonkeyPatch, *, after_chunks: int) -> None:
    """The process dies when it has stored the lists of the next chunk, but not committed them."""
    monkeypatch.setattr(runs, "DEMANDS_PER_CHUNK", 2)
    n_stored = 0
    original = chunks.store_lists  # type: ignore[attr-defined]  # the name by which it is called there

    async def store_lists(*arguments: Any) -> dict[tuple[str, str], str]:
        nonlocal n_stored
        stored = await original(*arguments)
        n_stored += 1
        if n_stored > after_chunks:
            raise Broken
        return stored

    monkeypatch.setattr(chunks, "store_lists", store_lists)


async def test_lists_become_visible_at_once_when_the_run_is_finished(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rerank(engine)
    before = await visible(engine)
    async with engine.database.transaction() as session:
        profiles = [ProfileImport(kind="expert", name="新", summary=f"{word}难题") for word in WORDS]
        await upsert_profiles(session, profiles, COMMAND_LINE)
    with monkeypatch.context() as patch:
        break_off(patch, after_chunks=2)
        with pytest.raises(Broken):
            await rerank(engine)
    assert await visible(engine) == before
    await rerank(engine, resume=True)
    after = await visible(engine)
    assert all(after[key] != before[key] for key in before)


@pytest.mark.parametrize("after_chunks", [0, 1, 2])
async def test_an_interrupted_run_is_completed_with_an_equal_result(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, after_chunks: int
) -> None:
    with monkeypatch.context() as patch:
        break_off(patch, after_chunks=after_chunks)
        with pytest.raises(Broken):
            await rerank(engine)
    async with engine.database.reading() as session:
        interrupted = await run_queries.running_run(session)
        assert interrupted is not None
        assert interrupted.n_done == 2 * after_chunks
    assert await visible(engine) == {}
    report = await rerank(engine, resume=True)
    assert report.run.id == interrupted.id
    assert (report.run.state, report.run.n_done, report.run.n_failed) == ("finished", N_DEMANDS, 0)
    resumed = await visible(engine)
    await rerank(engine)
    assert await visible(engine) == resumed


async def test_a_demand_that_fails_is_recorded_and_stops_no_other(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rerank(engine)
    before = await visible(engine)
    original = rankings.prepare  # type: ignore[attr-defined]  # the name by which it is called there

    def prepare(query: Any, *arguments: Any, **more: Any) -> Any:
        if query.title.startswith(WORDS[2]):
            raise ValueError("cannot be prepared")
        return original(query, *arguments, **more)

    monkeypatch.setattr(rankings, "prepare", prepare)
    report = await rerank(engine)
    assert (report.run.state, report.run.n_done, report.run.n_failed) == ("finished", N_DEMANDS - 1, 1)
    async with engine.database.reading() as session:
        failed = (await session.scalars(select(MatchListRow).where(MatchListRow.state == "failed"))).all()
    assert [(row.demand_id, row.error) for row in failed] == [
        ((await demand_ids(engine))["D2"], "ValueError: cannot be prepared")
    ]
    assert await visible(engine) == before  # the demand keeps the list that it had
    assert report.changes == []


def put_in_force(folder: Path) -> str:
    """What another process does: a version that moves scores by the cluster alone, said to be better, activated."""
    store = WeightsStore(folder, NoEncoder())
    measured = CrossValidation(
        measure="ndcg@10", compared_with=store.default.version, present=0.7, fitted=0.8,
        difference=0.1, low=0.05, high=0.15, p_not_better=0.0,
    )  # fmt: skip
    file = WeightsFile(
        version="fit-other", created_at=now(), encoder="none", lexicon="any",
        values=dict.fromkeys(SIGNALS, 0.0) | {"lexical": 1.0, "cluster": 1.0},
        floors={"strong": 0.9, "related": 0.8, "weak": 0.7}, n_demands=40, n_pairs=400, labels_sha256="0" * 64,
        cross_validation=measured,
    )  # fmt: skip
    store.save(file)
    return store.activate(file.version).version


async def listed(engine: Engine) -> list[tuple[str, float, str, Any]]:
    """What people see of every list: scores, levels and the weights of the explanations."""
    lists: list[tuple[str, float, str, Any]] = []
    async with engine.database.reading() as session:
        for demand_id in sorted((await demand_ids(engine)).values()):
            try:
                answer = await latest_matches(session, demand_id)
            except NotFound:
                continue
            lists += [
                (item.profile.id, item.score, item.level, item.explanation.parts if item.explanation else None)
                for item in answer.items
            ]
    return lists


@pytest.mark.parametrize("after_chunks", [None, 0, 2])
async def test_a_run_keeps_the_weights_that_it_was_started_with(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, after_chunks: int | None
) -> None:
    """Also where it is broken off, others come into force, and another process completes it."""
    async with engine.database.transaction() as session:
        clustered = [
            ProfileImport(
                external_id=f"C{n}", kind="expert", name=f"集群专家{n}", summary=f"{WORDS[0]}与传动{n}",
                clusters=["智能装备" if n % 2 else "食品"],
            )
            for n in range(6)
        ]  # fmt: skip
        await upsert_profiles(session, clustered, COMMAND_LINE)
    path = tmp_path / "clustered.jsonl"
    path.write_text(
        json.dumps({"external_id": "DC", "title": f"{WORDS[0]}传动", "cluster": "智能装备", "status": "published"})
    )
    await import_file(engine.database, "demands", path, COMMAND_LINE, defaults={}, strict=True)
    default = engine.weights.default.version
    assert (await rerank(engine)).run.weights_version == default
    expected = await listed(engine)

    if after_chunks is None:
        await nightly.begin(engine, resume=False)
    else:
        with monkeypatch.context() as patch:
            break_off(patch, after_chunks=after_chunks)
            with pytest.raises(Broken):
                await rerank(engine)
    assert put_in_force(tmp_path / "data" / "weights") == "fit-other"
    assert engine.weights.active().version == "fit-other"  # this process has noticed
    restarted = create_engine(Settings(encoder="none", data_dir=tmp_path / "data"), engine.database)
    await restarted.open()
    report = await rerank(restarted, resume=True)
    assert (report.run.state, report.run.weights_version) == ("finished", default)
    assert (report.run.n_done, report.run.n_failed) == (N_DEMANDS + 1, 0)
    assert await listed(engine) == expected

    later = await rerank(engine)
    assert later.run.weights_version == "fit-other"
    now_listed = await listed(engine)
    assert {level for _, _, level, _ in now_listed} != {level for _, _, level, _ in expected}
    async with engine.database.reading() as session:
        answer = await latest_matches(session, (await demand_ids(engine))["DC"])
    assert answer.weights_version == "fit-other"
    assert answer.items[0].profile.external_id in {"C1", "C3", "C5"}


async def test_a_run_whose_weights_are_gone_does_not_bar_the_way_for_ever(engine: Engine) -> None:
    """As after an update of the program while a run was broken off: its default has another name."""
    run = await nightly.begin(engine, resume=False)
    async with engine.database.transaction() as session:
        (await run_queries.get_run(session, run.id, for_update=True)).weights_version = "default-1-none"
    with suppress(NotFound):
        await rerank(engine, resume=True)
    assert (await rerank(engine)).run.state == "finished"


async def test_pinned_and_rejected_hold_in_every_later_run(engine: Engine) -> None:
    await rerank(engine)
    demand_id = (await demand_ids(engine))["D0"]
    async with engine.database.transaction() as session:
        match_list, _ = (await queries.newest_lists(session, [demand_id]))[demand_id]
        matches = (await queries.get_matches(session, [match_list.id]))[match_list.id]
        rejected, pinned = matches[0], matches[-1]
        await decide(session, rejected.id, DecisionBody(decision="rejected", reason="已退休"), COMMAND_LINE)
        await decide(session, pinned.id, DecisionBody(decision="pinned"), COMMAND_LINE)
    async with engine.database.transaction() as session:  # thirty better ones push the pinned one out of the top
        profiles = [ProfileImport(kind="expert", name="新", summary=f"{WORDS[0]}难题{n}") for n in range(30)]
        await upsert_profiles(session, profiles, COMMAND_LINE)
    for _ in range(2):
        await rerank(engine)
        async with engine.database.reading() as session:
            answer = await latest_matches(session, demand_id)
        listed = {item.profile.id: item for item in answer.items}
        assert rejected.profile_id not in listed
        assert listed[pinned.profile_id].decision == "pinned"
        assert len(listed) == 21
        assert [item.rank for item in answer.items] == [21, *range(1, 21)]  # the pinned one comes first
    assert rejected.profile_id in [i for i, _, _ in (await visible(engine))["D1"] + (await visible(engine))["D5"]]


async def test_a_cancelled_run_shows_nothing_and_frees_the_way(engine: Engine) -> None:
    run = await nightly.begin(engine, resume=False)
    async with engine.database.transaction() as session:
        await runs.cancel_run(session, run.id, COMMAND_LINE)
    report = await nightly.rerank(engine, run, lambda _n: None)
    assert (report.run.state, report.clusters) == ("cancelled", [])
    assert await visible(engine) == {}
    async with engine.database.transaction() as session:
        with pytest.raises(Conflict, match="cancelled"):
            await runs.cancel_run(session, run.id, COMMAND_LINE)
    assert (await rerank(engine)).run.state == "finished"


async def test_a_run_without_open_demands_is_finished_at_once(database: Database, tmp_path: Path) -> None:
    async with database.transaction() as session:
        await upsert_demands(session, [DemandImport(title="草稿")], COMMAND_LINE)
    engine = create_engine(Settings(encoder="none", data_dir=tmp_path / "data"), database)
    await engine.open()
    report = await rerank(engine)
    assert (report.run.state, report.run.n_demands, list(report.changes)) == ("finished", 0, [])
