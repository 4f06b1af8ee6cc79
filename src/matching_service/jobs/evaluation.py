"""``evaluate``: the service's own ranking against baselines, on files, without a database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matching_service.api.bulk import parse_items
from matching_service.demands.schemas import DemandImport
from matching_service.evaluation.compare import Result, Scorer, evaluate, random_scorer
from matching_service.evaluation.judgements import Judgements, read_judgements
from matching_service.evaluation.naive import naive_scorer
from matching_service.exchange.files import read_rows
from matching_service.exchange.headings import FORMS
from matching_service.foundation.errors import InvalidInput, Text
from matching_service.index.snapshot import Snapshot, Versions
from matching_service.matching.documents import demand_query, profile_documents
from matching_service.profiles.schemas import ProfileImport
from matching_service.ranking.calibrate import LEVEL_NAMES, Level, level_of
from matching_service.ranking.encoder import Encoder
from matching_service.ranking.fusion import DEFAULT_WEIGHTS, SIGNALS, Weights
from matching_service.ranking.prepare import PreparedQuery, prepare
from matching_service.ranking.ranker import Filters, rank
from matching_service.store.profiles import ProfileRow, WorkRow
from matching_service.text.lexicon import default_lexicon

K = 10


@dataclass(frozen=True, slots=True)
class QualityReport:
    """Results per ranker, the service's own last; and how judges graded the pairs of each level."""

    n_demands: int
    n_pairs: int
    results: Sequence[Result]
    grades_by_level: Mapping[Level, Sequence[int]]


def evaluate_files(demands: Path, profiles: Path, labels: Path, encoder: Encoder) -> QualityReport:
    """Rank each demand's judged profiles; raises InvalidInput for a bad file or labels that name unknown ids."""
    judgements = read_judgements(labels)
    demand_of = {_key(item): item for item in _read(demands, "demands", DemandImport)}
    profile_of = {_key(item): item for item in _read(profiles, "profiles", ProfileImport)}
    _check_known(judgements, demand_of, profile_of)

    rows = [_profile_row(key, item) for key, item in profile_of.items()]
    versions = Versions(default_lexicon().version, encoder.version, encoder.n_dimensions)
    snapshot = Snapshot.empty(versions).apply(profile_documents(rows, encoder), as_of=0)
    prepared = {key: prepare(demand_query(demand_of[key]), encoder) for key in judgements}

    naive = naive_scorer(
        {key: f"{demand_of[key].title} {demand_of[key].problem or ''}" for key in judgements},
        {row.id: " ".join([row.name, row.summary or "", *(work.title for work in row.works)]) for row in rows},
    )
    alone = [Weights(f"{signal} only", {other: float(other == signal) for other in SIGNALS}) for signal in SIGNALS]
    if encoder.n_dimensions == 0:
        alone = alone[:1]
    results = [
        evaluate("random", random_scorer(seed=0), judgements, k=K),
        evaluate("TfidfVectorizer(jieba.lcut)", naive, judgements, k=K),
        *(evaluate(w.version, _own_scorer(prepared, snapshot, w), judgements, k=K) for w in alone),
        evaluate("matching_service", _own_scorer(prepared, snapshot, DEFAULT_WEIGHTS), judgements, k=K),
    ]
    grades: dict[Level, list[int]] = {level: [] for level in LEVEL_NAMES}
    own = _own_scorer(prepared, snapshot, DEFAULT_WEIGHTS)
    for demand_id, judged in judgements.items():
        scores = own(demand_id, list(judged))
        for profile_id, grade in judged.items():
            grades[level_of(scores.get(profile_id, 0.0))].append(grade)
    n_pairs = sum(len(judged) for judged in judgements.values())
    return QualityReport(len(results[-1].per_demand), n_pairs, results, grades)


def _own_scorer(prepared: Mapping[str, PreparedQuery], snapshot: Snapshot, weights: Weights) -> Scorer:
    def score(demand_id: str, profile_ids: Sequence[str]) -> Mapping[str, float]:
        filters = Filters(candidates=frozenset(profile_ids))
        ranked = rank(prepared[demand_id], snapshot, top_k=len(profile_ids), filters=filters, weights=weights)
        return {entry.profile_id: entry.score for entry in ranked}

    return score


def _read(path: Path, what: str, model: type[Any]) -> list[Any]:
    rows = list(read_rows(path, FORMS[what]))
    for row in rows:
        if row.error is not None:
            raise InvalidInput(
                "unreadable",
                Text(f"{path.name} 第 {row.line} 行：{row.error.zh}", f"{path.name} line {row.line}: {row.error.en}"),
            )
    parsed = parse_items([dict(row.values or {}) for row in rows], model)
    for place, bad in sorted(parsed.invalid.items()):
        where, error = rows[place].line, bad.errors[0]
        raise InvalidInput(
            "invalid_row",
            Text(
                f"{path.name} 第 {where} 行 {error.pointer}：{error.message.zh}",
                f"{path.name} line {where} {error.pointer}: {error.message.en}",
            ),
        )
    return list(parsed.items)


def _key(item: DemandImport | ProfileImport) -> str:
    return item.external_id or item.id or ""


def _check_known(judgements: Judgements, demands: Mapping[str, Any], profiles: Mapping[str, Any]) -> None:
    unknown = [key for key in judgements if key not in demands]
    unknown += [key for judged in judgements.values() for key in judged if key not in profiles]
    if unknown:
        some = ", ".join(dict.fromkeys(unknown[:5]))
        raise InvalidInput(
            "unknown_labels",
            Text(
                f"标注中有 {len(unknown)} 个编号不在文件里，如 {some}。",
                f"{len(unknown)} ids of the labels are in no file, such as {some}.",
            ),
        )


def _profile_row(key: str, item: ProfileImport) -> ProfileRow:
    """The profile as a row that is never stored: ranking reads rows."""
    values = item.model_dump(exclude={"id", "organization_external_id", "works", "external_id"})
    works = [WorkRow(id=f"{key}/{place}", position=place, **work.model_dump()) for place, work in enumerate(item.works)]
    return ProfileRow(id=key, external_id=item.external_id, **values, works=works)
