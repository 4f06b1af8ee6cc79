"""``evaluate_files`` measures the service and the baselines on files, and refuses bad labels and rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from matching_service.foundation.errors import InvalidInput
from matching_service.quality.evaluation import QualityReport, evaluate_files
from matching_service.ranking.encoder import NoEncoder

PROFILES = [
    {"external_id": "a", "kind": "expert", "name": "甲", "summary": "谐波减速器柔轮疲劳寿命"},
    {"external_id": "b", "kind": "expert", "name": "乙", "summary": "陶瓷窑炉烟气余热回收"},
]
DEMANDS = [{"external_id": "d1", "title": "谐波减速器柔轮开裂"}, {"external_id": "d2", "title": "窑炉余热"}]


def files(tmp_path: Path, labels: str, demands: Any = DEMANDS, profiles: Any = PROFILES) -> QualityReport:
    for name, rows in (("demands", demands), ("profiles", profiles)):
        lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "labels.tsv").write_text(f"demand\tprofile\tgrade\n{labels}", encoding="utf-8")
    return evaluate_files(tmp_path / "demands.jsonl", tmp_path / "profiles.jsonl", tmp_path / "labels.tsv", NoEncoder())


@pytest.mark.parametrize(
    ("labels", "code"), [("d9\ta\t1", "unknown_labels"), ("d1\tz\t1", "unknown_labels"), ("d1\ta", "bad_judgement")]
)
def test_labels_that_cannot_be_used_are_refused(tmp_path: Path, labels: str, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        files(tmp_path, labels)
    assert refused.value.code == code


def test_labels_without_a_positive_grade_are_refused(tmp_path: Path) -> None:
    """A clear refusal is better than a division by zero."""
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
    assert report.results[-1].per_demand["ndcg"] == {"d1": 1.0, "d2": 1.0}
    assert sorted(grade for grades in report.grades_by_level.values() for grade in grades) == [0, 0, 2, 3]
    assert [result.name for result in report.results][-2] == "lexical only"  # no fitted result: two demands are too few


def test_labels_that_order_nothing_leave_the_weights_and_are_measured_all_the_same(tmp_path: Path) -> None:
    """Thirty demands, each with profiles of one grade only."""
    demands = [{"external_id": f"d{n}", "title": f"谐波减速器柔轮开裂{n}"} for n in range(30)]
    labels = "\n".join(f"d{n}\t{profile}\t{n % 4}" for n in range(30) for profile in "ab")
    report = files(tmp_path, labels, demands=demands)
    results = {result.name: result for result in report.results}
    assert results["matching_service, fitted"].per_demand == results["matching_service"].per_demand
    assert report.n_demands == 22


def test_copies_of_one_demand_are_not_enough_to_fit_to(tmp_path: Path) -> None:
    demands = [{"external_id": f"d{n}", "title": "谐波减速器柔轮开裂"} for n in range(30)]
    labels = "\n".join(f"d{n}\ta\t3\nd{n}\tb\t0" for n in range(30))
    report = files(tmp_path, labels, demands=demands)
    assert "matching_service, fitted" not in [result.name for result in report.results]
    assert report.n_pairs == 60
