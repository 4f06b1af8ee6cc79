"""An introduction of the company before or after a demand hardly moves its list."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from matching_service import sample
from matching_service.demands.schemas import DemandImport
from matching_service.index.contract import Versions
from matching_service.index.snapshot import Snapshot
from matching_service.live_index.documents import demand_query, encoded_documents
from matching_service.profiles.schemas import ProfileImport
from matching_service.ranking.encoder import load_encoder
from matching_service.ranking.prepare import prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import rank
from matching_service.store.profiles import ProfileRow, WorkRow
from matching_service.text.lexicon import default_lexicon

PROBLEM = "液压缸在高温工况下漏油，需要耐高温往复密封"
CUES = (
    "我厂位于南海，", "公司客户遍布全国，", "企业拥有专利30项，", "公司通过多项认证，", "公司占地80亩，", "企业致力于创新，",
    "员工500人，", "我公司是高新技术企业，", "本企业为骨干企业，", "年销售额2亿元，", "提高经济效益，", "投资回报期2年，",
    "我们单位坐落于工业园，",
)  # fmt: skip
INTRODUCTIONS = (
    "我厂位于南海，",
    "公司成立于2003年，注册资本5000万元，是国家高新技术企业，拥有员工300余人。产品远销欧美，年销售额超过2亿元。",
    "本企业始建于1986年，占地120亩，客户遍布全国，荣获多项荣誉。",
    "我司为行业龙头企业，致力于客户满意；",
)
N_LISTED, N_STAY = 10, 7
ENCODER = load_encoder("universal")


@pytest.fixture(scope="module")
def city() -> Snapshot:
    """The index of the sample city."""
    profiles = []
    for number, values in enumerate(lines(sample.PROFILES)):
        item = ProfileImport.model_validate(values)
        works = [WorkRow(id=f"{number}/{i}", position=i, **work.model_dump()) for i, work in enumerate(item.works)]
        fields = item.model_dump(exclude={"id", "organization_external_id", "works"})
        profiles.append(ProfileRow(id=f"{number}", **fields, works=works))
    versions = Versions(default_lexicon().version, ENCODER.version, ENCODER.n_dimensions)
    return Snapshot.build(encoded_documents(profiles, ENCODER), versions)


def lines(path: Path) -> Iterator[Any]:
    return map(json.loads, path.read_text(encoding="utf-8").splitlines())


def top(query: Query, city: Snapshot) -> dict[str, float]:
    """The score of each listed profile, by id, best first."""
    return {entry.profile_id: entry.score for entry in rank(prepare(query, ENCODER), city, top_k=N_LISTED)}


@pytest.mark.parametrize("cue", CUES)
def test_a_clause_about_the_company_leaves_the_problem_its_place(city: Snapshot, cue: str) -> None:
    plain = top(Query("求助", problem=PROBLEM), city)
    for problem in (cue + PROBLEM, f"{PROBLEM}，{cue}"):
        introduced = top(Query("求助", problem=problem), city)
        best = next(iter(plain))
        assert next(iter(introduced)) == best
        assert introduced[best] > 0.9 * plain[best]


@pytest.mark.parametrize("introduction", INTRODUCTIONS)
def test_an_introduction_moves_at_most_three_of_the_first_ten_and_none_of_the_first_two(
    city: Snapshot, introduction: str
) -> None:
    for values in list(lines(sample.DEMANDS))[::4]:
        query = demand_query(DemandImport.model_validate(values))
        plain = top(query, city)
        for problem in (introduction + query.problem, f"{query.problem}。{introduction}"):
            introduced = top(replace(query, problem=problem), city)
            assert len(plain.keys() & introduced.keys()) >= N_STAY
            assert set(list(plain)[:2]) <= introduced.keys()


def test_demands_that_share_their_introduction_alone_are_not_alike(city: Snapshot) -> None:
    """No more alike than without it: some profiles are a little related to both."""
    problems = (PROBLEM, "酱油发酵周期长，需要提高氨基态氮")
    one, other = (top(Query("求助", problem=problem), city) for problem in problems)
    introduced = [top(Query("求助", problem=INTRODUCTIONS[1] + problem), city) for problem in problems]
    assert len(introduced[0].keys() & introduced[1].keys()) <= len(one.keys() & other.keys())
