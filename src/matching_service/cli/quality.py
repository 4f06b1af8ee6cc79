"""``evaluate`` and ``fit``: measure the ranking quality, and fit the fusion weights to judged pairs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from matching_service.cli.engine import open_engine
from matching_service.cli.opening import run
from matching_service.cli.output import AsJson, print_json, print_line, print_rows, progress, stdout
from matching_service.cli.settings import read_settings
from matching_service.cli.weights import print_weights
from matching_service.encoders.choice import configured_encoder
from matching_service.evaluation.compare import CUT_MEASURES, MEASURES, Difference, Result
from matching_service.matching.weights import WeightsStore
from matching_service.quality import fitting
from matching_service.quality.evaluation import NAIVE, SERVICE, K, evaluate_files
from matching_service.ranking.calibrate import LEVEL_NAMES

_SHOWN_CHARACTERS = 200


def evaluate(
    demands: Annotated[Path, typer.Option(help="需求文件。File of demands.")],
    profiles: Annotated[Path, typer.Option(help="画像文件。File of profiles.")],
    labels: Annotated[Path, typer.Option(help="标注：需求、画像、等级 0-3。Judged pairs: demand, profile, grade.")],
    ablation: Annotated[
        bool,
        typer.Option("--ablation", help="逐一去掉每个信号和文本步骤。Leave out each signal and text step in turn."),
    ] = False,
    against: Annotated[
        str, typer.Option(help="与哪个排序器比较，列出最差的十条需求。Ranker to list the ten worst demands against.")
    ] = NAIVE,
    as_json: AsJson = False,
) -> None:
    settings = read_settings()
    encoder = configured_encoder(settings)
    active = WeightsStore(settings.weights_dir, encoder).active()
    with progress("evaluate", total=None) as advance:
        report = evaluate_files(
            demands, profiles, labels, encoder, weights=active, ablate=ablation, on_progress=advance
        )
    if against not in report.differences:
        raise typer.BadParameter(f"--against: {', '.join(report.differences)}")
    if as_json:
        print_json(report.as_json())
        return
    out = stdout()
    out.print(
        f"{report.n_demands} demands with a positive judgement, {report.n_pairs} judged pairs, {encoder.version}, "
        f"weights {active.version}"
    )
    print_rows(
        ("ranker", *(f"{measure}{f'@{K}' if measure in CUT_MEASURES else ''}" for measure in MEASURES), "gain", "95 %"),
        [
            (
                result.name,
                *(_mean(result, measure) for measure in MEASURES),
                *_gain(report.differences.get(result.name)),
            )
            for result in report.results
        ],
    )
    levels = [
        (LEVEL_NAMES[level].zh, level, len(grades), *(_share(grades, grade) for grade in range(4)))
        for level, grades in report.grades_by_level.items()
    ]
    print_rows(("匹配度", "level", "pairs", "grade 0", "grade 1", "grade 2", "grade 3"), levels)
    print_rows(
        (
            "范围 scope", "境外供给 overseas supply", "境外首位 first places", "境外首位正确 right of these",
            "境内首位正确 right of the others", "错误境外居前 wrong overseas before right Chinese",
            "前五未标注 unjudged of five",
        ),
        [
            (
                places.scope,
                f"{places.supply_share:.0%}",
                f"{places.first_share:.0%}",
                _percent(places.right_overseas),
                _percent(places.right_home),
                f"{places.n_wrong_before_right} / {places.n_demands}",
                str(places.n_unjudged),
            )
            for places in report.places
        ],
    )  # fmt: skip
    print_rows(
        ("语种 language", "匹配度 level", "listed", "judged", "right of judged", "right of listed"),
        [
            (
                group.language,
                group.level,
                str(group.n_listed),
                str(group.n_judged),
                _percent(group.n_right / group.n_judged if group.n_judged else None),
                _percent(group.n_right / group.n_listed),
            )
            for group in report.reliability
        ],
    )
    if report.ablations:
        ablated = [(a.name, _mean(a.result, "ndcg"), *_gain(a.difference)) for a in report.ablations]
        print_rows(("without", f"ndcg@{K}", "change", "95 %"), ablated)
    out.print(f"gain = {SERVICE} − ranker (ndcg@{K})；最差的需求 worst demands against {against}：")
    for demand, loss in report.differences[against].worst:
        title, *rest = report.texts[demand].splitlines()
        out.print(escape(f"{loss:+.3f} {demand} {title}"), soft_wrap=True)
        if rest:
            out.print(escape(f"       {' '.join(rest)[:_SHOWN_CHARACTERS]}"), soft_wrap=True)


def fit(
    labels: Annotated[Path, typer.Option(help="标注：需求、画像、等级 0-3（编号或外部编号）。Judged pairs by id.")],
    activate: Annotated[bool, typer.Option("--activate", help="更好则启用。Put it in force if it is better.")] = False,
    as_json: AsJson = False,
) -> None:
    async def work() -> fitting.FitReport:
        async with open_engine(created=False) as engine:
            report = await fitting.fit(engine, labels)
            if activate:
                engine.weights.activate(report.file.version)
            return report

    report = run(work())
    if as_json:
        print_line(report.file.model_dump_json())
        return
    measured = report.file.cross_validation
    out = stdout()
    out.print(
        f"{report.file.version}：{measured.measure} {measured.compared_with} {measured.present:.4f} → "
        f"{measured.fitted:.4f} ({_interval(report.difference)}), "
        f"{report.file.n_demands} demands, {report.file.n_pairs} pairs, cross-validated by demand -> {report.path}"
    )
    print_weights(report.file.values)
    if not activate:
        out.print(f"启用 to put it in force: matching-service weights activate {report.file.version}")


def _mean(result: Result, measure: str) -> str:
    return f"{result.mean(measure):.4f}" if result.per_demand[measure] else "-"


def _gain(difference: Difference | None) -> tuple[str, str]:
    return (f"{difference.mean:+.4f}", _interval(difference)) if difference is not None else ("", "")


def _percent(share: float | None) -> str:
    return f"{share:.0%}" if share is not None else "-"


def _interval(difference: Difference) -> str:
    return f"{difference.low:+.4f} to {difference.high:+.4f}"


def _share(grades: Sequence[int], grade: int) -> str:
    return f"{grades.count(grade) / len(grades):.0%}" if grades else "-"
