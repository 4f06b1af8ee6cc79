"""Judged pairs: the relevance grade of a profile for a demand."""

import csv
from collections.abc import Mapping
from pathlib import Path

from matching_service.foundation.errors import Bilingual, InvalidInput

MAX_GRADE = 3
MIN_DEMANDS = 30
"""With fewer demands, cross-validation measures chance more than weights."""

Judgements = Mapping[str, Mapping[str, int]]
"""Demand id -> judged profile id -> grade: 0 none, 1 weak, 2 related, 3 strong."""


def read_judgements(path: Path) -> Judgements:
    """Read a table with a heading and three columns: demand, profile, grade. Tabs in .tsv, commas otherwise.

    Raises InvalidInput for a file that is not UTF-8 or has no positive grade. Raises InvalidInput with the line number
    for a wrong number of columns, a grade outside 0..3, or a pair judged twice with different grades.
    """
    judgements: dict[str, dict[str, int]] = {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput("not_utf8", Bilingual(f"{path.name} 不是 UTF-8。", f"{path.name} is not UTF-8.")) from error
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
                raise _bad_line(path, rows.line_num, "同一对有两个不同等级", "the pair already has a different grade")
    if not any(grade for grades in judgements.values() for grade in grades.values()):
        message = Bilingual(
            f"{path.name} 中没有等级大于 0 的标注。", f"{path.name} contains no judgement with a grade above 0."
        )
        raise InvalidInput("no_judgements", message)
    return judgements


def require_fittable(judgements: Judgements, *, min_demands: int = MIN_DEMANDS) -> None:
    """Refuse labels from which nothing can be learned, or too little to trust.

    Only a demand with two different grades orders its profiles. Raises InvalidInput if all labels have the same grade
    (one_class) or if fewer than ``min_demands`` demands order their profiles (too_few_demands).
    """
    classes = {grade for grades in judgements.values() for grade in grades.values()}
    if len(classes) == 1:
        grade = classes.pop()
        message = Bilingual(
            f"所有标注都是等级 {grade}，无法用于拟合；请补充其他等级的标注。",
            f"All judgements have grade {grade}, so nothing can be learned from them. Add pairs with other grades.",
        )
        raise InvalidInput("one_class", message)
    n_demands = sum(len(set(grades.values())) > 1 for grades in judgements.values())
    if n_demands < min_demands:
        message = Bilingual(
            f"只有 {n_demands} 条需求含有两个以上不同等级的标注，至少需要 {min_demands} 条。",
            f"Only {n_demands} demands have judgements with different grades; at least {min_demands} are needed.",
        )
        raise InvalidInput("too_few_demands", message)


def _bad_line(path: Path, line: int, zh: str, en: str) -> InvalidInput:
    return InvalidInput(
        "bad_judgement", Bilingual(f"{path.name} 第 {line} 行：{zh}。", f"{path.name} line {line}: {en}.")
    )
