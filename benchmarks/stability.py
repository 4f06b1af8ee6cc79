"""What ``MATCHING_STABILITY`` is worth: how much lists change in seven nights on the sample city, and at what price.

Words are counted anew each night, as a night run does, and with a fixed seed each night a random tenth
- of the directory of societies, which are not listed, is away: others' words are rarer, nothing else (``counts``);
- of the profiles is short of a sentence of its summary (``edits``);
- of the profiles is away (``absences``).
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from matching_service import sample
from matching_service.demands.schemas import DemandImport
from matching_service.evaluation.compare import Scorer, evaluate
from matching_service.evaluation.judgements import Judgements, read_judgements
from matching_service.index.contract import Document, Versions
from matching_service.index.filters import Filters
from matching_service.index.frequencies import Frequencies
from matching_service.index.snapshot import Snapshot
from matching_service.live_index.documents import demand_query, encoded_documents
from matching_service.profiles.schemas import ProfileCreate, ProfileImport
from matching_service.profiles.societies import builtin_societies
from matching_service.quality.evaluation import K
from matching_service.ranking.encoder import Encoder, load_encoder
from matching_service.ranking.lexical import passage_terms
from matching_service.ranking.prepare import PreparedQuery, prepare
from matching_service.ranking.ranker import RankedProfile, rank
from matching_service.ranking.structured import Circumstances
from matching_service.shortlists.changes import compare_lists
from matching_service.store.profiles import ProfileRow, WorkRow
from matching_service.text.lexicon import default_lexicon
from matching_service.text.terms import default_analyzer

SETTINGS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05)
N_NIGHTS = 7
TOP_K = 20
_SHARE = 0.1
_SEED = 20261125
_DAY = date(2026, 11, 25)
_KINDS = frozenset({"expert", "team", "platform", "achievement"})
_SENTENCE = re.compile(r"(?<=[。；])")


@dataclass(slots=True)
class Tally:
    """What changed in all nights, and the quality of each."""

    n_changed: int = 0
    n_entered: int = 0
    n_left: int = 0
    n_moved: int = 0
    ndcg: float = 0.0

    def row(self, scenario: str, stability: float, reference: float) -> dict[str, object]:
        per_night = {
            "demands changed": self.n_changed,
            "entered": self.n_entered,
            "left": self.n_left,
            f"moved >= {3}": self.n_moved,
        }
        counts: dict[str, object] = {name: f"{count / N_NIGHTS:.1f}" for name, count in per_night.items()}
        ndcg = self.ndcg / N_NIGHTS
        quality: dict[str, object] = {f"ndcg@{K}": f"{ndcg:.4f}", "against 0": f"{ndcg - reference:+.4f}"}
        return {"nights": scenario, "stability": f"{stability:g}"} | counts | quality


def run(encoder_name: str = "universal") -> list[dict[str, object]]:
    """A row per scenario and setting; counts are per night, over all demands of the city."""
    encoder = load_encoder(encoder_name)
    profiles = [_row(ProfileImport.model_validate_json(line)) for line in _lines(sample.PROFILES)]
    demands = [DemandImport.model_validate_json(line) for line in _lines(sample.DEMANDS)]
    judgements = read_judgements(sample.RELEVANCE)
    queries = {demand.external_id or "": demand_query(demand) for demand in demands}
    texts = [passage_terms([query.topical().text], default_analyzer()) for query in queries.values()]
    asked = Frequencies.count(texts)
    prepared = {key: prepare(query, encoder, demand_frequencies=asked) for key, query in queries.items()}
    rows: list[dict[str, object]] = []
    for scenario, nights in (
        ("counts", _counts(profiles, encoder)),
        ("edits", _edits(profiles, encoder)),
        ("absences", _absences(profiles, encoder)),
    ):
        snapshots = [_snapshot(documents, encoder) for documents in nights]
        reference = None
        for stability in SETTINGS:
            tally = _live(snapshots, prepared, judgements, stability)
            reference = tally.ndcg / N_NIGHTS if reference is None else reference
            rows.append(tally.row(scenario, stability, reference))
    return rows


def _live(
    snapshots: Sequence[Snapshot], prepared: Mapping[str, PreparedQuery], judgements: Judgements, stability: float
) -> Tally:
    tally = Tally()
    lists: dict[str, list[RankedProfile]] = {key: [] for key in prepared}
    for night, snapshot in enumerate(snapshots):
        after = {key: _after(listed, stability) for key, listed in lists.items()}
        before, lists = lists, {key: _ranked(prepared[key], snapshot, after[key], TOP_K) for key in prepared}
        if not night:
            continue
        for key in prepared:
            moves = compare_lists(_ranks(before[key]), _ranks(lists[key]))
            tally.n_changed += bool(moves)
            tally.n_entered += len(moves.entered)
            tally.n_left += len(moves.left)
            tally.n_moved += len(moves.moved)
        tally.ndcg += evaluate("", _scorer(prepared, snapshot, after), judgements, k=K).mean("ndcg")
    return tally


def _after(listed: Sequence[RankedProfile], stability: float) -> Circumstances:
    return Circumstances(_DAY, former_scores={entry.profile_id: entry.score for entry in listed}, stability=stability)


def _ranked(
    prepared: PreparedQuery, snapshot: Snapshot, after: Circumstances, top_k: int, judged: Sequence[str] | None = None
) -> list[RankedProfile]:
    filters = Filters(kinds=_KINDS, candidates=frozenset(judged) if judged is not None else None)
    return rank(prepared, snapshot, top_k=top_k, filters=filters, circumstances=after)


def _scorer(prepared: Mapping[str, PreparedQuery], snapshot: Snapshot, after: Mapping[str, Circumstances]) -> Scorer:
    """Scores by the place among the judged profiles."""

    def places(demand_id: str, judged: Sequence[str]) -> Mapping[str, float]:
        found = _ranked(prepared[demand_id], snapshot, after[demand_id], len(judged), judged)
        return {entry.profile_id: float(len(judged) - place) for place, entry in enumerate(found)}

    return places


def _counts(profiles: Sequence[ProfileRow], encoder: Encoder) -> list[list[Document]]:
    chance = random.Random(_SEED)
    whole = encoded_documents(profiles, encoder)
    others = encoded_documents([_row(society) for society in builtin_societies()], encoder)
    return [whole + [document for document in others if chance.random() >= _SHARE] for _ in range(N_NIGHTS + 1)]


def _edits(profiles: Sequence[ProfileRow], encoder: Encoder) -> list[list[Document]]:
    """Each night another tenth is a sentence short; the others are as they are."""
    chance = random.Random(_SEED)
    whole = encoded_documents(profiles, encoder)
    nights = [whole]
    for _ in range(N_NIGHTS):
        chosen = {place for place in range(len(profiles)) if chance.random() < _SHARE}
        short = [_without_a_sentence(profiles[place], chance) for place in sorted(chosen)]
        edited = dict(zip(sorted(chosen), encoded_documents(short, encoder), strict=True))
        nights.append([edited.get(place, document) for place, document in enumerate(whole)])
    return nights


def _absences(profiles: Sequence[ProfileRow], encoder: Encoder) -> list[list[Document]]:
    chance = random.Random(_SEED)
    whole = encoded_documents(profiles, encoder)
    return [[document for document in whole if chance.random() >= _SHARE] for _ in range(N_NIGHTS + 1)]


def _without_a_sentence(profile: ProfileRow, chance: random.Random) -> ProfileRow:
    sentences = [part for part in _SENTENCE.split(profile.summary or "") if part]
    if len(sentences) > 1:
        del sentences[chance.randrange(len(sentences))]
    edited = _copied(profile) | {"summary": "".join(sentences)}
    return ProfileRow(**edited, works=[WorkRow(**_copied(work)) for work in profile.works])


def _copied(row: ProfileRow | WorkRow) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}


def _row(item: ProfileCreate | ProfileImport) -> ProfileRow:
    values = item.model_dump(exclude={"id", "organization_external_id", "works", "external_id"})
    key = item.external_id or ""
    works = [WorkRow(id=f"{key}/{n}", position=n, **work.model_dump()) for n, work in enumerate(item.works)]
    return ProfileRow(id=key, external_id=key, **values, works=works)


def _snapshot(documents: Sequence[Document], encoder: Encoder) -> Snapshot:
    versions = Versions(default_lexicon().version, encoder.version, encoder.n_dimensions)
    return Snapshot.build(documents, versions)


def _ranks(listed: Sequence[RankedProfile]) -> dict[str, int]:
    return {entry.profile_id: place for place, entry in enumerate(listed, start=1)}


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


if __name__ == "__main__":
    for row in run():
        print(row)
