"""Convert rows to the inputs of ranking: queries, documents with their passages, texts for explanations."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Protocol

from matching_service.index.contract import Document, Facts, Passage
from matching_service.live_index.texts import ShownProfile, ShownWork
from matching_service.live_index.vectors import Vectors, encode_texts
from matching_service.ranking.encoder import EncodableText, Encoder
from matching_service.ranking.explain import PassageText
from matching_service.ranking.lexical import passage_terms
from matching_service.ranking.query import Query
from matching_service.ranking.semantic import query_texts
from matching_service.store.demands import DemandRow
from matching_service.store.profiles import ProfileRow, WorkRow
from matching_service.text.language import language_of
from matching_service.text.terms import Analyzer, default_analyzer

_KINDS_NAMED_AFTER_PERSONS = frozenset({"expert"})
_N_WORKS_IN_QUERY = 10


class DemandTexts(Protocol):
    """The texts of a stored demand, or of an ad hoc query with the same fields."""

    title: str
    problem: str | None
    key_technology: str | None
    expected_goal: str | None
    keywords: list[str]
    must_have: list[str]
    nice_to_have: list[str]
    cluster: str | None
    region: str | None


def demand_query(demand: DemandTexts) -> Query:
    return Query(
        title=demand.title,
        problem=demand.problem or "",
        key_technology=demand.key_technology or "",
        expected_goal=demand.expected_goal or "",
        keywords=tuple(demand.keywords),
        must_have=tuple(demand.must_have),
        nice_to_have=tuple(demand.nice_to_have),
        cluster=demand.cluster,
        region=demand.region,
    )


def profile_query(profile: ProfileRow) -> Query:
    """Turn a profile into a query that finds likely demands. Its keywords stand in the title, which weighs most."""
    own = own_passage(profile)
    heading = "；".join(profile.keywords) or own.fields.get("name") or own.fields.get("summary", "")[:100]
    newest_first = sorted(profile.works, key=lambda work: (-(work.year or 0), work.position))
    titles = "；".join(work.title for work in islice(newest_first, _N_WORKS_IN_QUERY))
    return Query(title=heading, problem=profile.summary or "", key_technology=titles)


def profile_texts(profile: ProfileRow) -> list[EncodableText]:
    """Return the texts of the passages of a profile, its own text first. Its works must be loaded."""
    texts = ["。".join(passage.fields.values()) for passage in _passages(profile)]
    return [EncodableText(text, language_of(text, profile.language)) for text in texts]


def demand_texts(demand: DemandRow) -> list[EncodableText]:
    """Return the text that represents the demand in the demand index, then the texts of its own query."""
    query = demand_query(demand)
    topical = query.topical()
    return [
        EncodableText(topical.text, language_of(topical.text)),
        *query_texts(topical, language_of(query.text)),
    ]


def profile_documents(
    profiles: Sequence[ProfileRow], vectors: Vectors, encoder: Encoder, analyzer: Analyzer | None = None
) -> list[Document]:
    """Turn profiles into documents. Their works must be loaded. A passage without a vector is marked as awaiting it."""
    analyzer = analyzer or default_analyzer()
    return [
        Document(
            profile_id=profile.id,
            facts=Facts(
                kind=profile.kind,
                region=profile.region,
                country=profile.country,
                clusters=tuple(profile.clusters),
                fields=tuple(profile.fields),
                organization_id=profile.organization_id,
                title=profile.title,
                honours=tuple(profile.honours),
                capacity=profile.capacity,
                available_from=profile.available_from,
                available_until=profile.available_until,
            ),
            passages=telling(
                _passage(p, text, analyzer, vectors, encoder)
                for p, text in zip(_passages(profile), profile_texts(profile), strict=True)
            ),
        )
        for profile in profiles
    ]


def encoded_documents(
    profiles: Sequence[ProfileRow], encoder: Encoder, analyzer: Analyzer | None = None
) -> list[Document]:
    """Do the same as ``profile_documents``, but encode all texts here. For evaluation without a database."""
    vectors = encode_texts((text for profile in profiles for text in profile_texts(profile)), encoder)
    return profile_documents(profiles, vectors, encoder, analyzer)


def demand_documents(demands: Sequence[DemandRow], vectors: Vectors, encoder: Encoder) -> list[Document]:
    """Turn demands into documents for finding similar demands. ``kind`` holds the state of the demand.

    Introductions of the company are left out, because demands that share only these are not similar.
    """
    return [
        Document(
            profile_id=demand.id,
            facts=Facts(
                kind=demand.status,
                region=demand.region,
                clusters=(demand.cluster,) if demand.cluster else (),
                organization_id=demand.organization_id,
            ),
            passages=(_passage(PassageText(None, {"text": text.text}), text, default_analyzer(), vectors, encoder),),
        )
        for demand in demands
        for text in demand_texts(demand)[:1]
    ]


def _passage(
    texts: PassageText, text: EncodableText, analyzer: Analyzer, vectors: Vectors, encoder: Encoder
) -> Passage:
    key = text.key(encoder)
    terms = passage_terms(texts.fields.values(), analyzer)
    awaits = 0 if key in vectors else key
    return Passage(texts.work_id, terms, vectors.get(key), text.language, texts.year, awaits)


def telling(passages: Iterable[Passage]) -> tuple[Passage, ...]:
    """Leave out passages that say nothing, such as the own text of an expert with no more than a name.

    They would count as passages that do not fit. If none says anything the first one stays: the profile is still known.
    """
    every = tuple(passages)
    return tuple(p for p in every if p.terms or p.vector is not None or p.awaits) or every[:1]


def _passages(profile: ProfileRow) -> list[PassageText]:
    return [own_passage(profile), *(work_passage(work) for work in profile.works)]


def own_passage(profile: ProfileRow | ShownProfile) -> PassageText:
    """Return the passage of the profile's own text. It leaves out personal names, which say nothing about a topic."""
    name = "" if profile.kind in _KINDS_NAMED_AFTER_PERSONS else profile.name
    fields = {
        "name": name,
        "summary": profile.summary or "",
        "keywords": "；".join(profile.keywords),
        "fields": "；".join(profile.fields),
    }
    return PassageText(work_id=None, fields={field: text for field, text in fields.items() if text})


def work_passage(work: WorkRow | ShownWork) -> PassageText:
    fields = {"title": work.title, "abstract": work.abstract or ""}
    return PassageText(
        work_id=work.id,
        fields={field: text for field, text in fields.items() if text},
        kind=work.kind,
        title=work.title,
        year=work.year,
    )
