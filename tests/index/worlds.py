"""Terms, vectors and documents to draw from, best few, so that equal ones are common."""

from datetime import date

import numpy as np
from hypothesis import strategies as st

from matching_service.index.contract import Document, Facts, IndexQuery, Passage, Versions
from matching_service.index.filters import Filters
from matching_service.text.terms import NGRAM_MARK, SYNONYM_MARK

N_DIMENSIONS = 6
VERSIONS = Versions(lexicon="lexicon-1", encoder="encoder-1", n_dimensions=N_DIMENSIONS)
TERMS = (
    "泵",
    "水泵",
    "plc",
    "谐波减速器",
    "=3db",
    f"{SYNONYM_MARK}伺服",
    f"{NGRAM_MARK}泵",
    f"{NGRAM_MARK}水泵",
    f"{NGRAM_MARK}水",
)
"""Of every family."""
COUNTS = st.dictionaries(
    st.sampled_from(TERMS), st.one_of(st.integers(1, 9), st.sampled_from([254, 255, 256, 1000])), max_size=len(TERMS)
)
WEIGHTS = st.dictionaries(st.sampled_from((*TERMS, "unseen")), st.sampled_from([0.0, 0.1, 0.25, 0.3]), max_size=4)


def vector(seed, n_dimensions=N_DIMENSIONS):
    """float32, of unit length."""
    drawn = np.random.default_rng(seed).normal(size=n_dimensions)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


VECTORS = st.integers(0, 12).map(vector)


@st.composite
def passages(draw, work_id=None):
    """With a vector, without one, or with one that is still to come."""
    known = draw(st.one_of(st.none(), VECTORS))
    return Passage(
        work_id,
        draw(COUNTS),
        known,
        draw(st.sampled_from(["zh", "en", "ja", "qqq"])),
        draw(st.sampled_from([None, 1987, 2024])),
        awaits=draw(st.sampled_from([0, 11, 12, 13])) if known is None else 0,
    )


DATES = st.sampled_from([None, date(2025, 1, 31), date(2025, 6, 1), date(2099, 12, 31)])
FACTS = st.builds(
    Facts,
    kind=st.sampled_from(["expert", "team", "社"]),
    region=st.sampled_from([None, "000001", "110000", "440600", "440605", "999999"]),
    country=st.sampled_from(["CN", "DE"]),
    clusters=st.sampled_from([(), ("新材料",), ("新材料", "装备制造"), ("",)]),
    fields=st.sampled_from([(), ("机械", "电气")]),
    organization_id=st.sampled_from([None, "o1", "o2"]),
    title=st.sampled_from([None, "教授"]),
    honours=st.sampled_from([(), ("院士", "长江学者")]),
    capacity=st.sampled_from([None, 0, 3]),
    available_from=DATES,
    available_until=DATES,
)


@st.composite
def documents(draw):
    works = draw(st.lists(st.sampled_from(["w1", "w2", "w3", "w4"]), unique=True, max_size=3))
    drawn = [draw(passages(work_id)) for work_id in (None, *works)]
    return Document(draw(st.sampled_from("abcdefgh")), draw(FACTS), tuple(draw(st.permutations(drawn))))


TOPICS = st.lists(
    st.lists(
        st.lists(st.sampled_from((*TERMS, "unseen")), min_size=1, max_size=2, unique=True).map(tuple), max_size=2
    ).map(tuple),
    max_size=2,
).map(tuple)
QUERIES = st.builds(IndexQuery, terms=WEIGHTS, vector=st.one_of(st.none(), VECTORS), topics=TOPICS)
FILTERS = st.builds(
    Filters,
    kinds=st.frozensets(st.sampled_from(["expert", "team", "社", "none such"]), max_size=2),
    region_prefixes=st.lists(st.sampled_from(["00", "44", "4406", "440605", "11", "99"]), max_size=2).map(tuple),
    clusters=st.frozensets(st.sampled_from(["新材料", "装备制造", "none such", ""]), max_size=2),
    overseas=st.sampled_from([None, None, True, False]),
    candidates=st.one_of(st.none(), st.frozensets(st.sampled_from(["a", "b", "c", "x" * 99, "\ud800"]))),
    exclude=st.frozensets(st.sampled_from(["a", "b", "x" * 37, "", "\ud800"]), max_size=3),
    excluded_organizations=st.frozensets(st.sampled_from(["o1", "o2", "none such"]), max_size=2),
    available_on=DATES,
)

DOCUMENTS = st.lists(documents(), max_size=8, unique_by=lambda document: document.profile_id)


def in_order(documents):
    """What should stand in an index: (profile id, passage) in the order of ids, by any simple means."""
    return [
        (document.profile_id, passage)
        for document in sorted(documents, key=lambda document: document.profile_id)
        for passage in sorted(document.passages, key=lambda passage: passage.work_id or "")
    ]


def random_counts(generator, n_passages, n_terms, *, most=40):
    """Term counts of passages as in texts: few terms are common, most are rare."""
    return [
        {
            f"term{number}" if number % 3 else f"词{number}": int(generator.geometric(0.6))
            for number in np.minimum(generator.zipf(1.3, size=generator.integers(0, most)), n_terms)
        }
        for _ in range(n_passages)
    ]
