"""Files of judged pairs: errors name the line, and labels that are too few to fit to are refused."""

import re
from pathlib import Path

import pytest

from matching_service.evaluation.judgements import Judgements, read_judgements, require_fittable
from matching_service.foundation.errors import InvalidInput

HEADING = "demand_id\tprofile_id\tgrade\n"


def written(tmp_path: Path, content: str | bytes, name: str = "labels.tsv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("content", ["", HEADING, HEADING + "\n\n"])
def test_a_file_without_judgements_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_judgements(written(tmp_path, content))
    assert refused.value.code == "no_judgements"


@pytest.mark.parametrize(
    "line", ["d\tp", "d\tp\t4", "d\tp\t-1", "d\tp\t", "d\tp\t1.5", "d\tp\tgood", "d\tp\t1\tx", "d,p,1", "good\tp\t3"]
)
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, f"{HEADING}good\tp\t1\n{line}\n")
    with pytest.raises(InvalidInput) as refused:
        read_judgements(path)
    assert refused.value.code == "bad_judgement"
    assert "第 3 行" in refused.value.detail.zh
    assert "line 3" in refused.value.detail.en


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        read_judgements(written(tmp_path, (HEADING + "需求\t画像\t1\n").encode("gb18030")))


def test_tabs_or_commas_by_the_name_of_the_file(tmp_path: Path) -> None:
    expected = {"d1": {"p1": 3, "p2": 0}, "d2": {"p1": 1}}
    rows = [("demand", "profile", "grade"), ("d1", "p1", "3"), ("d1", "p2", "0"), (), ("d2", "p1", "1")]
    assert read_judgements(written(tmp_path, "\n".join("\t".join(row) for row in rows))) == expected
    assert read_judgements(written(tmp_path, "\r\n".join(",".join(row) for row in rows), "labels.csv")) == expected
    assert read_judgements(written(tmp_path, "\ufeff" + "\n".join(",".join(row) for row in rows), "b.csv")) == expected


def test_a_pair_judged_twice_alike_counts_once(tmp_path: Path) -> None:
    assert read_judgements(written(tmp_path, HEADING + "d\tp\t2\nd\tp\t2\n")) == {"d": {"p": 2}}


FEW = {"d1": {"a": 0, "b": 3}, "d2": {"a": 1, "b": 2}, "d3": {"a": 2, "b": 2}, "d4": {"a": 3}}


@pytest.mark.parametrize(
    ("judgements", "code", "words"),
    [
        ({"d1": {"a": 2, "b": 2}, "d2": {"a": 2}}, "one_class", ["2"]),
        (FEW, "too_few_demands", ["2", "30"]),  # d3 and d4 have a single grade each
        ({"d1": {"a": 1}, "d2": {"a": 2}}, "too_few_demands", ["0", "30"]),
        ({}, "too_few_demands", ["0", "30"]),
    ],
)
def test_labels_that_teach_nothing_are_refused(judgements: Judgements, code: str, words: list[str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        require_fittable(judgements)
    assert refused.value.code == code
    assert all(re.findall(r"\d+", text) == words for text in refused.value.detail)


def test_enough_labels_pass() -> None:
    require_fittable(FEW, min_demands=2)
    require_fittable({f"d{number}": {"a": 0, "b": 1} for number in range(30)})
