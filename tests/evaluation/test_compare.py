"""Rankers side by side: the same pairs, a stated order of ties, no demand without a positive judgement."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from matching_service.evaluation.compare import evaluate, random_scorer
from matching_service.evaluation.measures import ndcg
from matching_service.evaluation.naive import naive_scorer
from matching_service.foundation.errors import InvalidInput
from matching_service.jobs.evaluation import QualityReport, evaluate_files
from matching_service.ranking.encoder import NoEncoder

JUDGEMENTS = {"d1": {"a": 0, "b": 3, "c": 1}, "d2": {"a": 2, "b": 0}, "d3": {"a": 0, "b": 0}}
PROFILES = [
    {"external_id": "a", "kind": "expert", "name": "甲", "summary": "谐波减速器柔轮疲劳寿命"},
    {"external_id": "b", "kind": "expert", "name": "乙", "summary": "陶瓷窑炉烟气余热回收"},
]
DEMANDS = [{"external_id": "d1", "title": "谐波减速器柔轮开裂"}, {"external_id": "d2", "title": "窑炉余热"}]


def perfect(demand_id: str, profile_ids: Sequence[str]) -> Mapping[str, float]:
    return {profile_id: float(JUDGEMENTS[demand_id][profile_id]) for profile_id in profile_ids}


def files(tmp_path: Path, labels: str, demands: Any = DEMANDS, profiles: Any = PROFILES) -> QualityReport:
    for name, rows in (("demands", demands), ("profiles", profiles)):
        lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "labels.tsv").write_text(f"demand\tprofile\tgrade\n{labels}", encoding="utf-8")
    return evaluate_files(tmp_path / "demands.jsonl", tmp_path / "profiles.jsonl", tmp_path / "labels.tsv", NoEncoder())


def test_demands_without_a_positive_judgement_are_left_out() -> None:
    result = evaluate("perfect", perfect, JUDGEMENTS, k=10)
    assert result.per_demand == {"d1": 1.0, "d2": 1.0}
    assert result.mean == 1.0


def test_equal_scores_are_ordered_by_id() -> None:
    result = evaluate("nothing", lambda _demand, _profiles: {}, JUDGEMENTS, k=10)
    assert result.per_demand["d1"] == pytest.approx(ndcg([0, 3, 1], k=10))
    assert result.per_demand["d2"] == 1.0


def test_the_mean_is_over_demands() -> None:
    result = evaluate("nothing", lambda _demand, _profiles: {}, JUDGEMENTS, k=10)
    assert result.mean == pytest.approx((result.per_demand["d1"] + 1.0) / 2)


def test_a_scorer_is_asked_for_all_judged_profiles_in_an_order_that_says_nothing() -> None:
    asked: dict[str, list[str]] = {}

    def scorer(demand_id: str, profile_ids: Sequence[str]) -> Mapping[str, float]:
        asked[demand_id] = list(profile_ids)
        return {}

    evaluate("spy", scorer, JUDGEMENTS, k=10)
    assert asked == {"d1": ["a", "b", "c"], "d2": ["a", "b"]}


def test_the_random_floor_is_the_same_every_time() -> None:
    first, second = (evaluate("random", random_scorer(seed=0), JUDGEMENTS, k=10) for _ in range(2))
    assert first == second


def test_the_naive_baseline_finds_equal_words() -> None:
    score = naive_scorer({"d": "谐波减速器"}, {"a": "谐波减速器柔轮", "b": "陶瓷窑炉", "c": ""})
    scores = score("d", ["c", "b", "a"])
    assert scores["a"] > scores["b"] == scores["c"] == 0.0


@pytest.mark.parametrize(
    ("labels", "code"), [("d9\ta\t1", "unknown_labels"), ("d1\tz\t1", "unknown_labels"), ("d1\ta", "bad_judgement")]
)
def test_labels_that_cannot_be_used_are_refused(tmp_path: Path, labels: str, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        files(tmp_path, labels)
    assert refused.value.code == code


def test_labels_without_a_positive_grade_are_refused(tmp_path: Path) -> None:
    """There is no mean over no demand; saying so beats a division by zero."""
    with pytest.raises(InvalidInput):
        files(tmp_path, "d1\ta\t0\nd1\tb\t0")


@pytest.mark.parametrize("bad", ['{"external_id": "x"}', "{"])
def test_a_bad_row_is_refused_by_line(tmp_path: Path, bad: str) -> None:
    with pytest.raises(InvalidInput, match=r"profiles\.jsonl line 3"):
        files(tmp_path, "d1\ta\t1", profiles=[*PROFILES, bad])


def test_files_are_ranked_by_the_service_and_by_baselines(tmp_path: Path) -> None:
    report = files(tmp_path, "d1\ta\t3\nd1\tb\t0\nd2\tb\t2\nd2\ta\t0")
    assert (report.n_demands, report.n_pairs) == (2, 4)
    assert [result.name for result in report.results][-1] == "matching_service"
    assert report.results[-1].per_demand == {"d1": 1.0, "d2": 1.0}
    assert sorted(grade for grades in report.grades_by_level.values() for grade in grades) == [0, 0, 2, 3]
