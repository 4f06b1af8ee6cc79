"""Judged pairs: which profile is how relevant for which demand."""

import csv
from collections.abc import Mapping
from pathlib import Path

from matching_service.foundation.errors import InvalidInput, Text

MAX_GRADE = 3
MIN_DEMANDS = 30
"""With fewer, cross-validation says more about luck than about weights."""

Judgements = Mapping[str, Mapping[str, int]]
"""Per demand id the grade of each judged profile id: 0 none, 1 weak, 2 related, 3 strong."""


def read_judgements(path: Path) -> Judgements:
    """Read a table with a heading and three columns: demand, profile, grade; tabs in .tsv, commas in .csv.

    Raises InvalidInput naming the line for a wrong number of columns, a grade outside 0..3, or a pair judged twice
    with different grades.
    """
    judgements: dict[str, dict[str, int]] = {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput("not_utf8", Text(f"{path.name} 不是 UTF-8。", f"{path.name} is not UTF-8.")) from error
    rows = csv.reader(text.splitlines(), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    next(rows, None)
    for row in rows:
        if row:
            if len(row) != 3 or row[2] not in {str(grade) for grade in range(MAX_GRADE + 1)}:
                raise _bad_line(
                    path, rows.line_num, "应为三列：需求、画像、等级 0 到 3", "expected demand, profile, grade 0..3"
                )
            demand_id, profile_id, grade = row
            known = judgements.setdefault(demand_id, {}).setdefault(profile_id, int(grade))
            if known != int(grade):
                raise _bad_line(path, rows.line_num, "同一对有两个不同等级", "the pair has another grade already")
    if not any(grade for grades in judgements.values() for grade in grades.values()):
        message = Text(f"{path.name} 中没有等级大于 0 的标注。", f"{path.name} holds no positive judgement.")
        raise InvalidInput("no_judgements", message)
    return judgements


def require_fittable(judgements: Judgements, *, min_demands: int = MIN_DEMANDS) -> None:
    """Refuse labels from which nothing can be learned, or so little that the result would be luck.

    Only a demand with two different grades says which profile should stand above which. Raises InvalidInput for
    labels that all have the same grade (one_class) and for fewer than ``min_demands`` such demands (too_few_demands).
    """
    classes = {grade for grades in judgements.values() for grade in grades.values()}
    if len(classes) == 1:
        only = classes.pop()
        message = Text(
            f"所有标注都是等级 {only}，无从学习；请补充其他等级的标注。",
            f"All judgements have grade {only}, so there is nothing to learn; add pairs of other grades.",
        )
        raise InvalidInput("one_class", message)
    n_demands = sum(len(set(grades.values())) > 1 for grades in judgements.values())
    if n_demands < min_demands:
        message = Text(
            f"只有 {n_demands} 条需求含有两个以上不同等级的标注，至少需要 {min_demands} 条。",
            f"Only {n_demands} demands have judgements of different grades; at least {min_demands} are needed.",
        )
        raise InvalidInput("too_few_demands", message)


def _bad_line(path: Path, line: int, zh: str, en: str) -> InvalidInput:
    return InvalidInput("bad_judgement", Text(f"{path.name} 第 {line} 行：{zh}。", f"{path.name} line {line}: {en}."))
