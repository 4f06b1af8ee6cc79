"""Rank the profiles of a CSV file for one demand: the text, index and ranking rooms alone, without database or server.

python examples/rank_csv.py examples/profiles.csv examples/demand.txt

The file has the columns id, kind, name, region, summary, keywords and works; several works are separated by ；. The
first line of the demand is its title, the rest is its problem.
"""

import csv
import sys
from collections.abc import Mapping
from pathlib import Path

from matching_service.index.contract import Document, Facts, Passage, Versions
from matching_service.index.snapshot import Snapshot
from matching_service.ranking.calibrate import LEVEL_NAMES
from matching_service.ranking.encoder import Encoder, load_encoder
from matching_service.ranking.explain import Explainer, PassageText
from matching_service.ranking.lexical import passage_terms
from matching_service.ranking.prepare import prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import rank
from matching_service.text.language import language_of
from matching_service.text.lexicon import default_lexicon
from matching_service.text.terms import default_analyzer

COLUMNS = ("id", "kind", "name", "region", "summary", "keywords", "works")
Texts = Mapping[str | None, PassageText]
"""The passages of one profile: its own text under None, each work under its id."""


def read_profiles(path: Path) -> dict[str, tuple[dict[str, str], Texts]]:
    """Each row by its id, with its passages."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if missing := [column for column in COLUMNS if column not in (reader.fieldnames or ())]:
            sys.exit(f"{path} lacks the columns: {', '.join(missing)}")
        return {row["id"]: (row, passages_of(row)) for row in reader}


def passages_of(row: Mapping[str, str]) -> Texts:
    works = [title for title in row["works"].split("；") if title]
    own = PassageText(None, {"summary": row["summary"], "keywords": row["keywords"]})
    return {None: own} | {f"work {n}": PassageText(f"work {n}", {"title": t}, title=t) for n, t in enumerate(works, 1)}


def document(row: Mapping[str, str], texts: Texts, encoder: Encoder) -> Document:
    """A profile as the index takes it: facts, and per passage its terms and its vector."""
    joined = ["。".join(text.fields.values()) for text in texts.values()]
    languages = [language_of(text) for text in joined]
    vectors = encoder.encode(joined, languages)
    passages = (
        Passage(work_id, passage_terms(text.fields.values(), default_analyzer()), vector, language)
        for (work_id, text), vector, language in zip(texts.items(), vectors, languages, strict=True)
    )
    return Document(row["id"], Facts(kind=row["kind"], region=row["region"] or None), tuple(passages))


def main() -> None:
    profiles = read_profiles(Path(sys.argv[1]))
    title, _, problem = Path(sys.argv[2]).read_text(encoding="utf-8").partition("\n")
    encoder = load_encoder("universal")
    versions = Versions(default_lexicon().version, encoder.version, encoder.n_dimensions)
    snapshot = Snapshot.build((document(row, texts, encoder) for row, texts in profiles.values()), versions)
    prepared = prepare(Query(title=title, problem=problem.strip()), encoder)
    explainer = Explainer(prepared, snapshot.frequencies)
    for place, ranked in enumerate(rank(prepared, snapshot, top_k=10), start=1):
        row, texts = profiles[ranked.profile_id]
        reason = explainer.explain(ranked, [texts[work_id] for work_id in ranked.work_ids]).reason.zh
        print(f"{place}\t{ranked.score:.3f}\t{LEVEL_NAMES[ranked.level].zh}\t{row['name']}\t{reason}")


if __name__ == "__main__":
    main()
