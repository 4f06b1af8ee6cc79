"""``fit`` on stored records: labels are understood or refused by name, and a version says what it rests on."""

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from matching_service.access.policies import COMMAND_LINE
from matching_service.engines import create_engine
from matching_service.files.imports import import_file
from matching_service.foundation.errors import InvalidInput
from matching_service.foundation.settings import Settings
from matching_service.matching.engine import Engine
from matching_service.profiles.schemas import ProfileImport
from matching_service.profiles.service import upsert_profiles
from matching_service.quality.fitting import fit
from matching_service.ranking.fusion import SIGNALS
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.profiles import ProfileRow

WORDS = ["谐波减速器", "陶瓷窑炉", "心肌标志物", "注塑机液压", "铝型材挤压", "光伏逆变器", "轴承钢", "锂电隔膜"]
N_DEMANDS = 32
Line = tuple[str, str, int]


@pytest.fixture
async def engine(database: Database, tmp_path: Path) -> Engine:
    """Eight profiles in two clusters, and demands about them; everything of one source."""
    async with database.transaction() as session:
        profiles = [
            ProfileImport(
                external_id=f"E{n}", source="s", kind="expert", name=f"专家{n}", clusters=[f"集群{n % 2}"],
                summary=f"{word}研究，也做{WORDS[(n + 1) % 8]}",
            )
            for n, word in enumerate(WORDS)
        ]  # fmt: skip
        await upsert_profiles(session, profiles, COMMAND_LINE)
    await demands(database, tmp_path, (f"{WORDS[n % 8]}难题之{n}" for n in range(N_DEMANDS)))
    made = create_engine(Settings(encoder="none", data_dir=tmp_path / "data"), database)
    await made.open()
    return made


async def demands(database: Database, folder: Path, titles: Iterable[str], *, prefix: str = "D") -> None:
    path = folder / "demands.jsonl"
    rows = (
        {"external_id": f"{prefix}{n}", "source": "s", "title": title, "cluster": f"集群{n % 2}"}
        for n, title in enumerate(titles)
    )
    path.write_text("\n".join(map(json.dumps, rows)))
    await import_file(database, "demands", path, COMMAND_LINE, defaults={}, strict=True)


def lines(n_demands: int = N_DEMANDS, *, prefix: str = "D") -> list[Line]:
    """Who has the word and the cluster is strong, who has the word alone is weak."""
    return [
        (f"{prefix}{n}", f"E{place}", grade)
        for n in range(n_demands)
        for place, grade in ((n % 8, 3), ((n - 1) % 8, 1), ((n + 3) % 8, 0))
    ]


def labels(folder: Path, judged: Iterable[Line]) -> Path:
    path = folder / "labels.tsv"
    path.write_text("demand\tprofile\tgrade\n" + "".join(f"{d}\t{p}\t{g}\n" for d, p, g in judged), encoding="utf-8")
    return path


async def ids(engine: Engine, table: type[DemandRow | ProfileRow]) -> dict[str, str]:
    async with engine.database.reading() as session:
        rows: Iterable[Any] = await session.scalars(select(table))
        return {row.external_id or "": row.id for row in rows}


async def test_a_version_says_what_it_rests_on(engine: Engine, tmp_path: Path) -> None:
    path = labels(tmp_path, lines())
    report = await fit(engine, path)
    file = report.file
    assert engine.weights.file(file.version) == file
    assert report.path == tmp_path / "data" / "weights" / f"{file.version}.json"
    assert (file.encoder, file.n_demands, file.n_pairs) == ("none", N_DEMANDS, 3 * N_DEMANDS)
    assert file.labels_sha256 == sha256(path.read_bytes()).hexdigest()
    assert set(file.values) == set(SIGNALS)
    measured = file.cross_validation
    assert (measured.measure, measured.compared_with) == ("ndcg@10", engine.weights.default.version)
    assert measured.difference == pytest.approx(measured.fitted - measured.present)
    assert measured.low <= measured.difference <= measured.high
    assert engine.weights.active() is engine.weights.default  # nothing is activated
    assert report.titles == {id_: f"{WORDS[int(key[1:]) % 8]}难题之{key[1:]}" for key, id_ in
                             (await ids(engine, DemandRow)).items()}  # fmt: skip


async def test_ids_and_external_ids_name_the_same_records(engine: Engine, tmp_path: Path) -> None:
    by_external_id = await fit(engine, labels(tmp_path, lines()))
    demand_ids, profile_ids = await ids(engine, DemandRow), await ids(engine, ProfileRow)
    by_id = await fit(engine, labels(tmp_path, ((demand_ids[d], profile_ids[p], g) for d, p, g in lines())))
    assert by_id.file.values == by_external_id.file.values
    assert by_id.file.cross_validation == by_external_id.file.cross_validation


@pytest.mark.parametrize(
    ("judged", "code", "named"),
    [
        ([*lines(), ("D99", "E0", 1)], "unknown_labels", "D99"),
        ([*lines(), ("D0", "E99", 1)], "unknown_labels", "E99"),
        ([(d, p, 2) for d, p, _ in lines()], "one_class", "2"),
        (lines(29), "too_few_demands", "29"),
        ([*lines(29), ("D30", "E0", 2), ("D31", "E0", 2)], "too_few_demands", "29"),
    ],
)
async def test_labels_that_cannot_be_used_are_refused(
    engine: Engine, tmp_path: Path, judged: list[Line], code: str, named: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await fit(engine, labels(tmp_path, judged))
    assert refused.value.code == code
    assert named in refused.value.detail.zh
    assert named in refused.value.detail.en
    assert engine.weights.files() == []


async def test_an_external_id_of_two_sources_is_refused_and_the_id_is_not(engine: Engine, tmp_path: Path) -> None:
    async with engine.database.transaction() as session:
        twin = ProfileImport(external_id="E3", source="other", kind="expert", name="另一人", summary="别的")
        await upsert_profiles(session, [twin], COMMAND_LINE)
    with pytest.raises(InvalidInput) as refused:
        await fit(engine, labels(tmp_path, lines()))
    assert refused.value.code == "ambiguous_labels"
    assert "E3" in refused.value.detail.zh
    assert engine.weights.files() == []
    async with engine.database.reading() as session:
        statement = select(ProfileRow.id).where(ProfileRow.external_id == "E3", ProfileRow.source == "s")
        own = await session.scalar(statement)
    judged = [(d, own if p == "E3" and own else p, g) for d, p, g in lines()]
    assert (await fit(engine, labels(tmp_path, judged))).file.n_pairs == 3 * N_DEMANDS


async def test_one_demand_posted_thirty_times_is_too_little(engine: Engine, tmp_path: Path) -> None:
    await demands(engine.database, tmp_path, [WORDS[0]] * 30, prefix="X")
    judged = [(f"X{n}", p, g) for n in range(30) for p, g in (("E0", 3), ("E1", 0))]
    with pytest.raises(InvalidInput) as refused:
        await fit(engine, labels(tmp_path, judged))
    assert refused.value.code == "too_few_demands"


async def test_a_demand_under_both_of_its_names_keeps_all_its_grades(engine: Engine, tmp_path: Path) -> None:
    demand_ids = await ids(engine, DemandRow)
    judged = [(demand_ids[d] if g == 3 else d, p, g) for d, p, g in lines()]
    assert (await fit(engine, labels(tmp_path, judged))).file.n_pairs == 3 * N_DEMANDS
