"""Small worlds to rank in: profiles from texts, an encoder that is a hash, and texts to draw from."""

import hashlib
from datetime import date
from functools import lru_cache

import numpy as np
from hypothesis import strategies as st

from matching_service.index.contract import Document, Facts, Passage, Versions
from matching_service.index.segment import Segment
from matching_service.index.snapshot import Snapshot, SnapshotPart
from matching_service.live_index.documents import telling
from matching_service.ranking.encoder import Calibration
from matching_service.ranking.explain import PassageText
from matching_service.ranking.fusion import ADJUSTING_SIGNALS, SIGNALS, Weights
from matching_service.ranking.lexical import passage_terms
from matching_service.ranking.query import Query
from matching_service.ranking.structured import Circumstances, Standing
from matching_service.text.language import language_of
from matching_service.text.normalise import fold
from matching_service.text.terms import default_analyzer

N_DIMENSIONS = 32
CALIBRATION = Calibration("hash", {}, {}, middle=0.4, steepness=5.0, weight=0.2)
_MEANINGS = {
    "harmonic drive": "谐波减速器",
    "reducer with an elastic wheel": "谐波减速器",
    "water pump": "水泵",
    "harmonisches getriebe": "谐波减速器",
}


class HashEncoder:
    """A text means the characters it is made of. A few foreign phrases mean the same as Chinese ones."""

    version = "hash-1"
    is_available = True
    n_dimensions = N_DIMENSIONS
    calibration = CALIBRATION

    def encode(self, texts, languages, *, is_query=False):
        return [_vector(text) for text in texts]


class SilentEncoder:
    """Knows nothing of any text."""

    version = "silent-1"
    is_available = True
    n_dimensions = N_DIMENSIONS
    calibration = CALIBRATION

    def encode(self, texts, languages, *, is_query=False):
        return [None] * len(texts)


def _vector(text):
    folded = fold(text)
    for foreign, chinese in _MEANINGS.items():
        folded = folded.replace(foreign, chinese)
    characters = [_direction(character) for character in folded if character.isalnum()]
    if not characters:
        return None
    total = np.sum(characters, axis=0)
    return (total / np.linalg.norm(total)).astype(np.float32)


@lru_cache(maxsize=10_000)
def _direction(character):
    seed = hashlib.sha256(character.encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(seed[:8], "big")).normal(size=N_DIMENSIONS)


ENCODER = HashEncoder()
VERSIONS = Versions("lexicon-1", ENCODER.version, N_DIMENSIONS)


def document(profile_id, text, works=(), *, encoder=ENCODER, kind="expert", language=None, years=(), **facts):
    """A profile with its own text and works named w0, w1, ... in the language that the texts show, or the given one."""
    texts = {None: text} | {f"w{number}": work for number, work in enumerate(works)}
    languages = [language or language_of(each) for each in texts.values()]
    vectors = encoder.encode(list(texts.values()), languages)
    known_years = [None, *years, *[None] * len(works)]
    return Document(
        profile_id=profile_id,
        facts=Facts(kind=kind, **facts),
        passages=telling(
            Passage(work_id, passage_terms([text], default_analyzer()), vector, code, year)
            for (work_id, text), vector, code, year in zip(
                texts.items(), vectors, languages, known_years[: len(texts)], strict=True
            )
        ),
    )


def snapshot_of(*documents):
    return Snapshot.build(documents, VERSIONS, as_of=1)


def scattered_snapshot_of(*documents, gone, n_together):
    """The same, ``n_together`` profiles in a segment, before one of profiles that are gone."""
    groups = [documents[start : start + n_together] for start in range(0, len(documents), n_together)]
    lost = Segment.build(gone, n_dimensions=N_DIMENSIONS)
    parts = [
        *(SnapshotPart.of(Segment.build(group, n_dimensions=N_DIMENSIONS)) for group in groups),
        SnapshotPart.of(lost, np.zeros(lost.n_profiles, dtype=np.bool_)),
    ]
    return Snapshot.of_parts(tuple(parts), VERSIONS, as_of=1)


def own_text(text, field="summary"):
    return PassageText(work_id=None, fields={field: text})


def weights_of(lexical, semantic, **adjusting):
    """Weights where what is not named weighs nothing."""
    named = {"lexical": lexical, "semantic": semantic} | adjusting
    return Weights(f"of {named}", {signal: named.get(signal, 0.0) for signal in SIGNALS})


TODAY = date(2025, 6, 1)
LEXICAL_ONLY = weights_of(1.0, 0.0)
SEMANTIC_ONLY = weights_of(0.0, 1.0)
BOTH = weights_of(0.8, 0.2)
HEAVY = weights_of(0.5, 0.5, **dict.fromkeys(ADJUSTING_SIGNALS, 1.0))
ANY_WEIGHTS = st.sampled_from(
    [LEXICAL_ONLY, SEMANTIC_ONLY, BOTH, weights_of(0.1, 3.0), HEAVY, weights_of(0.8, 0.2, region=0.5, nice_to_have=0.4)]
)

_WORDS = (
    "泵", "水泵", "铝", "谐波减速器", "諧波減速器", "柔轮", "疲劳寿命", "机器视觉", "缺陷检测", "PLC", "ＰＬＣ", "可编程控制器", "测试", "测试工具箱",
    "3 dB", "85 %", "1,000mm", "harmonic drive", "water pump", "院士", "教授", "的", "研发", "，", "。", "；", "\n", " ", "😀",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(_WORDS), max_size=7).map("".join)
TOPICS = st.lists(TEXTS, max_size=2).map(tuple)
REGIONS = st.sampled_from([None, "440600", "440605", "440305", "110000"])
CLUSTERS = ("新材料", "装备制造", "医药")
QUERIES = st.builds(
    Query,
    title=TEXTS,
    problem=TEXTS,
    key_technology=TEXTS,
    keywords=TOPICS,
    must_have=TOPICS,
    nice_to_have=TOPICS,
    cluster=st.sampled_from([None, *CLUSTERS]),
    region=REGIONS,
)
DATES = st.sampled_from([None, date(2025, 5, 31), date(2025, 6, 1), date(2025, 6, 2), date(2026, 6, 1)])
YEARS = st.sampled_from([None, 2005, 2020, 2025, 2030])
DOCUMENTS = st.lists(
    st.builds(
        document,
        st.sampled_from("abcdefgh"),
        TEXTS,
        st.lists(TEXTS, max_size=3),
        encoder=st.sampled_from([ENCODER, ENCODER, SilentEncoder()]),
        kind=st.sampled_from(["expert", "team", "society"]),
        language=st.sampled_from([None, "zh", "zh", "en", "ja"]),
        years=st.lists(YEARS, max_size=3),
        region=REGIONS,
        country=st.sampled_from(["CN", "CN", "DE"]),
        clusters=st.sampled_from([(), ("新材料",), ("新材料", "装备制造")]),
        fields=st.sampled_from([(), ("水泵",), ("柔轮", "机器视觉")]),
        organization_id=st.sampled_from([None, "o1", "o2"]),
        title=st.sampled_from([None, "教授", "工程师"]),
        honours=st.sampled_from([(), ("中国工程院院士",)]),
        capacity=st.sampled_from([None, 0, 1, 3]),
        available_from=DATES,
        available_until=DATES,
    ),
    max_size=8,
    unique_by=lambda document: document.profile_id,
)


def crowd(seed, n):
    """So many profiles that a ranking looks at few of them. Their texts are few, so equal scores are common."""
    generator = np.random.default_rng(seed)

    def one_of(values):
        return values[generator.integers(len(values))]

    texts = ["".join(generator.choice(_WORDS, generator.integers(1, 6))) for _ in range(12)]
    return [
        document(
            f"p{number}",
            one_of(texts),
            [one_of(texts) for _ in range(one_of([0, 0, 1, 3, 8]))],
            encoder=one_of([ENCODER, ENCODER, SilentEncoder()]),
            language=one_of(["zh", "zh", "en"]),
            years=[one_of([None, 2020, 2025])],
            region=one_of([None, "440605", "110000"]),
            clusters=one_of([(), ("新材料",)]),
        )
        for number in generator.permutation(n).tolist()
    ]


STANDINGS = st.builds(Standing, load=st.integers(0, 4), n_accepted=st.integers(0, 3), n_rejected=st.integers(0, 3))
CIRCUMSTANCES = st.builds(
    Circumstances, st.just(TODAY), st.dictionaries(st.sampled_from("abcdefghx"), STANDINGS, max_size=5)
)
