"""Rows to what ranking reads: queries, documents with their passages, texts to explain from."""

from collections.abc import Sequence
from itertools import islice
from typing import Protocol

from matching_service.index.snapshot import Document, Facts, Passage
from matching_service.ranking.encoder import Encoder
from matching_service.ranking.explain import PassageText
from matching_service.ranking.lexical import passage_terms
from matching_service.ranking.prepare import is_chinese
from matching_service.ranking.query import Query
from matching_service.store.demands import DemandRow
from matching_service.store.profiles import ProfileRow, WorkRow

_KINDS_NAMED_AFTER_PERSONS = frozenset({"expert"})
_N_WORKS_IN_QUERY = 10


class DemandTexts(Protocol):
    """A stored demand or a question in the same form."""

    title: str
    problem: str | None
    key_technology: str | None
    expected_goal: str | None
    keywords: list[str]
    must_have: list[str]
    nice_to_have: list[str]


def demand_query(demand: DemandTexts) -> Query:
    return Query(
        title=demand.title,
        problem=demand.problem or "",
        key_technology=demand.key_technology or "",
        expected_goal=demand.expected_goal or "",
        keywords=tuple(demand.keywords),
        must_have=tuple(demand.must_have),
        nice_to_have=tuple(demand.nice_to_have),
    )


def profile_query(profile: ProfileRow) -> Query:
    """A profile as a question, to find the demands that it might answer: what it is known for comes first."""
    own = own_passage(profile)
    heading = "；".join(profile.keywords) or own.fields.get("name") or own.fields.get("summary", "")[:100]
    newest_first = sorted(profile.works, key=lambda work: (-(work.year or 0), work.position))
    titles = "；".join(work.title for work in islice(newest_first, _N_WORKS_IN_QUERY))
    return Query(title=heading, problem=profile.summary or "", key_technology=titles)


def profile_documents(profiles: Sequence[ProfileRow], encoder: Encoder) -> list[Document]:
    """Profiles with their works loaded, as documents; all texts are encoded in one batch."""
    passages = [[own_passage(profile), *(work_passage(work) for work in profile.works)] for profile in profiles]
    vectors = iter(encoder.encode(["。".join(p.fields.values()) for group in passages for p in group]))
    return [
        Document(
            profile_id=profile.id,
            facts=Facts(
                kind=profile.kind,
                region=profile.region,
                language=profile.language,
                clusters=tuple(profile.clusters),
                organization_id=profile.organization_id,
            ),
            passages=tuple(Passage(p.work_id, passage_terms(p.fields.values()), next(vectors)) for p in group),
        )
        for profile, group in zip(profiles, passages, strict=True)
    ]


def demand_documents(demands: Sequence[DemandRow], encoder: Encoder) -> list[Document]:
    """Demands as documents, for finding similar ones; the kind is the demand's state."""
    texts = [demand_query(demand).text for demand in demands]
    return [
        Document(
            profile_id=demand.id,
            facts=Facts(
                kind=demand.status,
                region=demand.region,
                language="zh" if is_chinese(text) else "other",
                clusters=(demand.cluster,) if demand.cluster else (),
                organization_id=demand.organization_id,
            ),
            passages=(Passage(None, passage_terms([text]), vector),),
        )
        for demand, text, vector in zip(demands, texts, encoder.encode(texts), strict=True)
    ]


def own_passage(profile: ProfileRow) -> PassageText:
    """What the profile says of itself. A person's name says nothing of a topic; an institution's does."""
    name = "" if profile.kind in _KINDS_NAMED_AFTER_PERSONS else profile.name
    fields = {
        "name": name,
        "summary": profile.summary or "",
        "keywords": "；".join(profile.keywords),
        "fields": "；".join(profile.fields),
    }
    return PassageText(work_id=None, fields={field: text for field, text in fields.items() if text})


def work_passage(work: WorkRow) -> PassageText:
    fields = {"title": work.title, "abstract": work.abstract or ""}
    return PassageText(
        work_id=work.id,
        fields={field: text for field, text in fields.items() if text},
        kind=work.kind,
        title=work.title,
        year=work.year,
    )
