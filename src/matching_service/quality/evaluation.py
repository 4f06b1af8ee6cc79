"""``evaluate``: compare the ranking of the service with baselines, on files, without a database."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from matching_service.api.bulk import parse_items
from matching_service.demands.schemas import DemandImport
from matching_service.evaluation.baselines import bm25_scorer, naive_scorer
from matching_service.evaluation.compare import Difference, Result, Scorer, compare, evaluate, random_scorer
from matching_service.evaluation.fit import JudgedPairs, cross_validate, pair_scorer
from matching_service.evaluation.judgements import MIN_DEMANDS, Judgements, read_judgements
from matching_service.files.headings import FORMS
from matching_service.files.records import read_rows
from matching_service.foundation.errors import Bilingual, InvalidInput
from matching_service.index.contract import Index, Versions
from matching_service.index.filters import NO_FILTERS, Filters
from matching_service.index.frequencies import Frequencies
from matching_service.index.snapshot import Snapshot
from matching_service.live_index.documents import demand_query, encoded_documents
from matching_service.profiles.schemas import ProfileImport
from matching_service.quality.judged import judged_pairs
from matching_service.quality.origins import N_SHOWN, Lists, Places, Reliability, places_of, reliability_of
from matching_service.ranking.calibrate import LEVEL_NAMES, Level
from matching_service.ranking.encoder import Encoder
from matching_service.ranking.fusion import SIGNALS, TOPIC_SIGNALS, Weights, default_weights
from matching_service.ranking.lexical import passage_terms
from matching_service.ranking.prepare import PreparedQuery, prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import rank
from matching_service.store.profiles import ProfileRow, WorkRow
from matching_service.text.lexicon import default_lexicon
from matching_service.text.terms import Analyzer, Occurrence, default_analyzer, is_ngram

K = 10
NAIVE = "TfidfVectorizer(jieba.lcut)"
SERVICE = "matching_service"
FITTED = "matching_service, fitted"
EXPERT = "expert"


@dataclass(frozen=True, slots=True)
class Ablation:
    """The result without one signal or one step of text processing, and its difference to the full ranking."""

    name: str
    result: Result
    difference: Difference


@dataclass(frozen=True, slots=True)
class QualityReport:
    """Results of all rankers.

    differences : by ranker, the result of the service minus that of the ranker.
    grades_by_level : grades of the judged pairs at each level. For each demand the floors of the levels are fitted on
        the other demands.
    places, reliability : of the lists over all profiles, judged or not: see ``origins``.
    texts : by demand id, its text with the title first, so that people can read the worst demands.
    """

    n_demands: int
    n_pairs: int
    results: Sequence[Result]
    differences: Mapping[str, Difference]
    grades_by_level: Mapping[Level, Sequence[int]]
    ablations: Sequence[Ablation]
    places: Sequence[Places]
    reliability: Sequence[Reliability]
    texts: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """Return the whole report in plain types."""
        return {
            "k": K,
            "n_demands": self.n_demands,
            "n_pairs": self.n_pairs,
            "results": {result.name: _result_json(result) for result in self.results},
            "differences": {name: asdict(difference) for name, difference in self.differences.items()},
            "grades_by_level": {level: [g.count(n) for n in range(4)] for level, g in self.grades_by_level.items()},
            "ablations": {
                a.name: _result_json(a.result) | {"difference": asdict(a.difference)} for a in self.ablations
            },
            "places": [asdict(places) for places in self.places],
            "reliability": [asdict(reliability) for reliability in self.reliability],
            "texts": dict(self.texts),
        }


def evaluate_files(
    demands: Path,
    profiles: Path,
    labels: Path,
    encoder: Encoder,
    *,
    weights: Weights | None = None,
    ablate: bool = False,
    on_progress: Callable[[int], None] = lambda _n: None,
) -> QualityReport:
    """Rank the judged profiles of each demand by the service and by baselines.

    Raises InvalidInput for a bad file, or for labels with unknown ids.
    """
    weights = weights or default_weights(encoder.calibration)
    corpus = _read_corpus(demands, profiles, labels, encoder)
    judgements, queries = corpus.judgements, corpus.queries
    texts = (
        {key: f"{queries[key].title} {queries[key].problem}" for key in judgements},
        {row.id: " ".join([row.name, row.summary or "", *(work.title for work in row.works)]) for row in corpus.rows},
    )
    setup = corpus.setup()
    scorers = {
        "random": random_scorer(seed=0),
        NAIVE: naive_scorer(*texts),
        "BM25 (jieba)": bm25_scorer(*texts),
    }
    for signal in TOPIC_SIGNALS if encoder.n_dimensions else TOPIC_SIGNALS[:1]:
        scorers[f"{signal} only"] = setup.scorer(_only(signal))
    pairs = judged_pairs(judgements, setup.prepared, setup.snapshot)
    if _is_fittable(pairs):
        scorers[FITTED] = pair_scorer(pairs, cross_validate(pairs, weights, fitted=True).scores)
    scorers[SERVICE] = setup.scorer(weights)
    results = []
    for name, scorer in scorers.items():
        results.append(evaluate(name, scorer, judgements, k=K))
        on_progress(1)
    own = results[-1]
    scopes = _scopes(corpus, setup, weights)
    return QualityReport(
        n_demands=len(own.per_demand["ndcg"]),
        n_pairs=len(pairs.grades),
        results=results,
        differences={result.name: compare(result, own) for result in results[:-1]},
        grades_by_level=_grades_by_level(pairs, weights),
        ablations=_ablations(corpus, own, weights, on_progress) if ablate else (),
        places=[places_of(scope, lists, judgements, supply) for scope, lists, supply in scopes],
        reliability=reliability_of(scopes[0][1], judgements, corpus.rows),
        texts={key: queries[key].text for key in judgements},
    )


def _scopes(corpus: "_Corpus", setup: "_Setup", weights: Weights) -> list[tuple[str, Lists, Sequence[ProfileRow]]]:
    """The lists of all kinds, and those of experts alone, which staff ask for most; each with its supply."""
    experts = [row for row in corpus.rows if row.kind == EXPERT]
    scopes = [("all", setup.lists(weights, NO_FILTERS), corpus.rows)]
    if experts:
        scopes.append((EXPERT, setup.lists(weights, Filters(kinds=frozenset({EXPERT}))), experts))
    return scopes


def levels_of(
    demands: Path, profiles: Path, labels: Path, encoder: Encoder, *, weights: Weights | None, judged_only: bool
) -> dict[Level, list[int]]:
    """Return the grades of the judged pairs at each level, by the present floors.

    judged_only : leave all profiles without a judgement out of the corpus, which makes it smaller.
    """
    corpus = _read_corpus(demands, profiles, labels, encoder, judged_only=judged_only)
    setup = corpus.setup()
    pairs = judged_pairs(corpus.judgements, setup.prepared, setup.snapshot)
    used = weights or default_weights(encoder.calibration)
    return _by_level([used.floors.level_of(score) for score in pairs.scores(used).tolist()], pairs)


def _read_corpus(
    demands: Path, profiles: Path, labels: Path, encoder: Encoder, *, judged_only: bool = False
) -> "_Corpus":
    judgements = read_judgements(labels)
    demand_items = {_key(item): item for item in _read(demands, "demands", DemandImport)}
    profile_items = {_key(item): item for item in _read(profiles, "profiles", ProfileImport)}
    _check_ids(judgements, demand_items, profile_items)
    judged = {profile for grades in judgements.values() for profile in grades}
    rows = [_profile_row(key, item) for key, item in profile_items.items() if key in judged or not judged_only]
    return _Corpus({key: demand_query(item) for key, item in demand_items.items()}, rows, judgements, encoder)


def _result_json(result: Result) -> dict[str, Any]:
    means = {measure: result.mean(measure) for measure, values in result.per_demand.items() if values}
    return {"mean": means, "per_demand": result.per_demand}


@dataclass(frozen=True, slots=True)
class _Setup:
    """The prepared demands and the index of profiles for one configuration of text processing."""

    prepared: Mapping[str, PreparedQuery]
    snapshot: Index

    def scorer(self, weights: Weights) -> Scorer:
        """Return a scorer that scores by rank in the list of the service, because people see ranks."""

        def score(demand_id: str, profile_ids: Sequence[str]) -> Mapping[str, float]:
            filters = Filters(candidates=frozenset(profile_ids))
            n = len(profile_ids)
            ranked = rank(self.prepared[demand_id], self.snapshot, top_k=n, filters=filters, weights=weights)
            return {entry.profile_id: float(n - i) for i, entry in enumerate(ranked)}

        return score

    def lists(self, weights: Weights, filters: Filters) -> Lists:
        """Return the head of each list of the service, over all profiles that pass the filters."""
        return {
            demand_id: rank(prepared, self.snapshot, top_k=N_SHOWN, filters=filters, weights=weights)
            for demand_id, prepared in self.prepared.items()
        }


class _Corpus:
    """The contents of the files. Makes a setup per configuration; each text is encoded only once."""

    def __init__(
        self, queries: Mapping[str, Query], rows: Sequence[ProfileRow], judgements: Judgements, encoder: Encoder
    ) -> None:
        self.queries, self.rows, self.judgements = queries, rows, judgements
        self._encoder = _CachingEncoder(encoder)

    def setup(
        self,
        analyzer: Analyzer | None = None,
        *,
        rewrite: Callable[[Query], Query] = lambda query: query,
        with_rarity: bool = True,
    ) -> _Setup:
        analyzer = analyzer or default_analyzer()
        versions = Versions(default_lexicon().version, self._encoder.version, self._encoder.n_dimensions)
        documents = encoded_documents(self.rows, self._encoder, analyzer)
        demand_terms = [passage_terms([query.topical().text], analyzer) for query in self.queries.values()]
        demand_frequencies = Frequencies.count(demand_terms)
        prepared = {
            key: prepare(
                rewrite(self.queries[key]),
                self._encoder,
                demand_frequencies=demand_frequencies if with_rarity else None,
                analyzer=analyzer,
            )
            for key in self.judgements
        }
        return _Setup(prepared, Snapshot.build(documents, versions))


class _CachingEncoder:
    """An encoder that encodes each text once, because ten configurations use the same texts."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[tuple[str, str, bool], Any] = {}
        self.version, self.n_dimensions, self.calibration = encoder.version, encoder.n_dimensions, encoder.calibration
        self.is_available = True

    def encode(self, texts: Sequence[str], languages: Sequence[str], *, is_query: bool = False) -> list[Any]:
        keys = [(text, language, is_query) for text, language in zip(texts, languages, strict=True)]
        new = [key for key in dict.fromkeys(keys) if key not in self._known]
        vectors = self._encoder.encode([key[0] for key in new], [key[1] for key in new], is_query=is_query)
        self._known.update(zip(new, vectors, strict=True))
        return [self._known[key] for key in keys]


class _Filtering(Analyzer):
    """An analyzer that leaves out one family of terms."""

    def __init__(self, keep: Callable[[str], bool]) -> None:
        super().__init__(default_lexicon())
        self._keep = keep

    def count_terms(self, text: str) -> Any:
        counts = super().count_terms(text)
        return type(counts)({term: count for term, count in counts.items() if self._keep(term)})

    def find_terms(self, text: str) -> list[Occurrence]:
        return [occurrence for occurrence in super().find_terms(text) if self._keep(occurrence.term)]


def _ablations(corpus: _Corpus, own: Result, weights: Weights, on_progress: Callable[[int], None]) -> list[Ablation]:
    """Leave out every signal, then every step of text processing, one at a time."""
    lexicon = default_lexicon()
    full = corpus.setup()
    setups: dict[str, Callable[[], _Setup]] = {
        "user dictionary": lambda: corpus.setup(Analyzer(replace(lexicon, user_words={}))),
        "stop words": lambda: corpus.setup(Analyzer(replace(lexicon, stop_words=frozenset()))),
        "synonyms": lambda: corpus.setup(Analyzer(replace(lexicon, canonical={}))),
        "words": lambda: corpus.setup(_Filtering(is_ngram)),
        "characters": lambda: corpus.setup(_Filtering(lambda term: not is_ngram(term) or len(term) > 2)),
        "character bigrams": lambda: corpus.setup(_Filtering(lambda term: not is_ngram(term) or len(term) == 2)),
        "quantities": lambda: corpus.setup(_Filtering(lambda term: not term.startswith("="))),
        "rarity among demands": lambda: corpus.setup(with_rarity=False),
        "weight of the title": lambda: corpus.setup(rewrite=_without_title),
        "dropping of introductions": lambda: corpus.setup(rewrite=_Verbatim.of),
    }
    used = [
        signal
        for signal in SIGNALS
        if weights.values[signal]
        and (signal not in TOPIC_SIGNALS or len([s for s in TOPIC_SIGNALS if weights.values[s]]) > 1)
    ]
    scorers: dict[str, Callable[[], Scorer]] = {
        f"signal {signal}": partial(full.scorer, _without(weights, signal)) for signal in used
    }
    scorers |= {f"text: {name}": partial(_scorer_of, make, weights) for name, make in setups.items()}
    ablations = []
    for name, make in scorers.items():
        result = evaluate(f"without {name}", make(), corpus.judgements, k=K)
        ablations.append(Ablation(name, result, compare(own, result)))
        on_progress(1)
    return ablations


def _scorer_of(make: Callable[[], _Setup], weights: Weights) -> Scorer:
    return make().scorer(weights)


class _Verbatim(Query):
    """A query that keeps the introduction of the company."""

    @classmethod
    def of(cls, query: Query) -> Query:
        return cls(**{name: getattr(query, name) for name in Query.__slots__})

    def topical(self) -> Query:
        return self


def _without_title(query: Query) -> Query:
    return replace(query, title="", problem=f"{query.title}\n{query.problem}")


def _without(weights: Weights, signal: str) -> Weights:
    return replace(weights, version=f"{weights.version} without {signal}", values=dict(weights.values) | {signal: 0.0})


def _only(signal: str) -> Weights:
    return Weights(f"{signal} only", {other: float(other == signal) for other in SIGNALS})


def _grades_by_level(pairs: JudgedPairs, weights: Weights) -> dict[Level, list[int]]:
    """Return the grades of the judged pairs at each level.

    For each demand the floors are fitted on the other demands. With too few labels the present floors are used.
    """
    if _is_fittable(pairs):
        levels = cross_validate(pairs, weights, fitted=False).levels
    else:
        levels = [weights.floors.level_of(score) for score in pairs.scores(weights).tolist()]
    return _by_level(levels, pairs)


def _by_level(levels: Sequence[Level], pairs: JudgedPairs) -> dict[Level, list[int]]:
    grades: dict[Level, list[int]] = {level: [] for level in LEVEL_NAMES}
    for level, grade in zip(levels, pairs.grades.tolist(), strict=True):
        grades[level].append(grade)
    return grades


def _is_fittable(pairs: JudgedPairs) -> bool:
    return len(set(pairs.groups.values())) >= MIN_DEMANDS and len(set(pairs.grades.tolist())) > 1


def _read(path: Path, what: str, model: type[Any]) -> list[Any]:
    rows = list(read_rows(path, FORMS[what]))
    for row in rows:
        if row.error is not None:
            raise InvalidInput(
                "unreadable",
                Bilingual(
                    f"{path.name} 第 {row.line} 行：{row.error.zh}", f"{path.name} line {row.line}: {row.error.en}"
                ),
            )
    parsed = parse_items([dict(row.values or {}) for row in rows], model)
    for i, invalid in sorted(parsed.invalid.items()):
        line, error = rows[i].line, invalid.errors[0]
        raise InvalidInput(
            "invalid_row",
            Bilingual(
                f"{path.name} 第 {line} 行 {error.pointer}：{error.message.zh}",
                f"{path.name} line {line} {error.pointer}: {error.message.en}",
            ),
        )
    return list(parsed.items)


def _key(item: DemandImport | ProfileImport) -> str:
    return item.external_id or item.id or ""


def _check_ids(judgements: Judgements, demands: Mapping[str, Any], profiles: Mapping[str, Any]) -> None:
    unknown = [key for key in judgements if key not in demands]
    unknown += [key for judged in judgements.values() for key in judged if key not in profiles]
    if unknown:
        examples = ", ".join(dict.fromkeys(unknown[:5]))
        raise InvalidInput(
            "unknown_labels",
            Bilingual(
                f"标注中有 {len(unknown)} 个编号不在文件中，如 {examples}。",
                f"{len(unknown)} ids in the labels are in neither file, for example {examples}.",
            ),
        )


def _profile_row(key: str, item: ProfileImport) -> ProfileRow:
    """Turn a profile into a row that is never stored, because documents are made from rows."""
    values = item.model_dump(exclude={"id", "organization_external_id", "works", "external_id"})
    works = [WorkRow(id=f"{key}/{i}", position=i, **work.model_dump()) for i, work in enumerate(item.works)]
    return ProfileRow(id=key, external_id=item.external_id, **values, works=works)
