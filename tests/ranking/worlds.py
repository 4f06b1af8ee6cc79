"""Small worlds to rank in: profiles from texts, an encoder that is a hash, and texts to draw from."""

import hashlib
from functools import lru_cache

import numpy as np
from hypothesis import strategies as st

from matching_service.index.snapshot import Document, Facts, Passage, Snapshot, Versions
from matching_service.ranking.explain import PassageText
from matching_service.ranking.lexical import passage_terms
from matching_service.ranking.query import Query
from matching_service.text.normalise import fold

N_DIMENSIONS = 32
_MEANINGS = {"harmonic drive": "谐波减速器", "water pump": "水泵", "harmonisches getriebe": "谐波减速器"}


class HashEncoder:
    """A text means the characters it is made of. A few foreign phrases mean the same as Chinese ones."""

    version = "hash-1"
    n_dimensions = N_DIMENSIONS

    def encode(self, texts):
        return [_vector(text) for text in texts]


class SilentEncoder:
    """Knows nothing of any text."""

    version = "silent-1"
    n_dimensions = N_DIMENSIONS

    def encode(self, texts):
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


def document(profile_id, text, works=(), *, encoder=ENCODER, kind="expert", **facts):
    """A profile with its own text and works named w0, w1, ..."""
    texts = {None: text} | {f"w{number}": work for number, work in enumerate(works)}
    vectors = encoder.encode(list(texts.values()))
    return Document(
        profile_id=profile_id,
        facts=Facts(kind=kind, **facts),
        passages=tuple(
            Passage(work_id, passage_terms([text]), vector)
            for (work_id, text), vector in zip(texts.items(), vectors, strict=True)
        ),
    )


def snapshot_of(*documents):
    return Snapshot.empty(Versions("lexicon-1", ENCODER.version, N_DIMENSIONS)).apply(documents, as_of=1)


def own_text(text, field="summary"):
    return PassageText(work_id=None, fields={field: text})


_WORDS = (
    "泵", "水泵", "铝", "谐波减速器", "諧波減速器", "柔轮", "疲劳寿命", "机器视觉", "缺陷检测", "PLC", "ＰＬＣ", "可编程控制器", "测试", "测试工具箱",
    "3 dB", "85 %", "1,000mm", "harmonic drive", "water pump", "的", "研发", "，", "。", "；", "\n", " ", "😀",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(_WORDS), max_size=7).map("".join)
TOPICS = st.lists(TEXTS, max_size=2).map(tuple)
QUERIES = st.builds(
    Query, title=TEXTS, problem=TEXTS, key_technology=TEXTS, keywords=TOPICS, must_have=TOPICS, nice_to_have=TOPICS
)
DOCUMENTS = st.lists(
    st.builds(
        document,
        st.sampled_from("abcdefgh"),
        TEXTS,
        st.lists(TEXTS, max_size=3),
        encoder=st.sampled_from([ENCODER, ENCODER, SilentEncoder()]),
        kind=st.sampled_from(["expert", "team", "society"]),
        region=st.sampled_from([None, "440600", "440605", "110000"]),
        language=st.sampled_from(["zh", "zh", "en"]),
        clusters=st.sampled_from([(), ("新材料",), ("新材料", "装备制造")]),
        organization_id=st.sampled_from([None, "o1", "o2"]),
    ),
    max_size=8,
    unique_by=lambda document: document.profile_id,
)
