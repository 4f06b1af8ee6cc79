"""Explanations of a rank: the terms that contributed most, the sentences that show them, one plain reason.

They are made from the texts of the few profiles that are shown, with the analysis that built the index.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from matching_service.foundation.errors import Bilingual
from matching_service.index.frequencies import Frequencies
from matching_service.index.postings import count_factor, family_factors, term_keys
from matching_service.ranking.lexical import query_weights
from matching_service.ranking.prepare import PreparedQuery
from matching_service.ranking.ranker import RankedProfile, ScorePart, TopicFinding
from matching_service.ranking.topics import State
from matching_service.text.normalise import fold, fold_with_spans
from matching_service.text.terms import (
    NGRAM_MARK,
    Occurrence,
    Place,
    ReadText,
    count_terms,
    find_terms,
    is_ngram,
    read_text,
)

_MAX_TERMS = 8
_MAX_EVIDENCE = 3
_MAX_EVIDENCE_CHARACTERS = 160
_ENOUGH_OF_BEST = 0.5
_N_TERMS_IN_REASON = 3
_QUOTED_CHARACTERS = 40
_SENTENCE = re.compile(r"[^。！？!?；;\n]*[。！？!?；;\n]?|[^。！？!?；;\n]+$")
_NOTHING = Bilingual("没有发现与需求相符之处。", "Nothing was found that fits the demand.")
_WORK_NAMES = {
    "paper": Bilingual("论文", "paper"),
    "patent": Bilingual("专利", "patent"),
    "project": Bilingual("项目", "project"),
    "standard": Bilingual("标准", "standard"),
}


@dataclass(frozen=True, slots=True)
class PassageText:
    """The stored texts of one passage, by field, unchanged. ``work_id`` is None for the profile's own text."""

    work_id: str | None
    fields: Mapping[str, str]
    kind: str = ""
    title: str = ""
    year: int | None = None


class TermContribution(NamedTuple):
    """``term`` in the spelling of the query; ``contribution`` is its share of the score."""

    term: str
    contribution: float


class QuotedSentence(NamedTuple):
    """A sentence of a stored text: ``text == fields[field][start : start + len(text)]``.

    ``highlights`` are half-open spans of ``text``, rising, without overlap. ``work_title`` and ``year`` name the work;
    None for the profile's own text.
    """

    work_id: str | None
    work_title: str | None
    year: int | None
    field: str
    start: int
    text: str
    highlights: tuple[tuple[int, int], ...]


class MustHave(NamedTuple):
    """What a profile shows of a must-have.

    evidence : where it is met, the sentence that uses its words; where it is not verified, that of a passage near in
        meaning, without highlights. None where it is not met, and for a topic without words.
    """

    topic: str
    state: State
    evidence: QuotedSentence | None


class Explanation(NamedTuple):
    """Everything that an answer says of one ranked profile; ``parts`` sum to its score."""

    parts: tuple[ScorePart, ...]
    terms: tuple[TermContribution, ...]
    evidence: tuple[QuotedSentence, ...]
    must_have: tuple[MustHave, ...]
    missing_must_have: tuple[str, ...]
    missing_nice_to_have: tuple[str, ...]
    reason: Bilingual


class Explainer:
    """Explains any number of profiles for one query. The query's own part is computed once."""

    def __init__(self, prepared: PreparedQuery, frequencies: Frequencies) -> None:
        self._weights = query_weights(prepared.terms, prepared.title_terms, prepared.rarity, frequencies)
        text = replace(prepared.query, nice_to_have=()).text  # the text of the weighted terms
        occurrences = find_terms(text)
        self._lone = _lone_characters(text, occurrences)
        surfaces = _surfaces(text, occurrences)
        folded = {term: (fold(surface), surface) for term, surface in surfaces.items()}
        self._surfaces = {term: pair for term, pair in folded.items() if len(pair[1]) > 1 or pair[0] in self._lone}
        self._query_text, self._folded_query = text, fold_with_spans(text)
        factors = family_factors(term_keys(self._weights)).tolist()
        self._factors = {t: w * f for (t, w), f in zip(self._weights.items(), factors, strict=True)}
        self._terms = frozenset(self._weights)
        self._pieces = {term: self._surfaces.get(term, (term.removeprefix(NGRAM_MARK),))[0] for term in self._terms}

    def explain(self, ranked: RankedProfile, passages: Sequence[PassageText]) -> Explanation:
        """Explain one ranked profile from the texts of ``ranked.quoted_work_ids``, as far as they still exist."""
        by_work = {passage.work_id: passage for passage in passages}
        best = [by_work[work_id] for work_id in ranked.work_ids if work_id in by_work]
        lexical = next((part.contribution for part in ranked.parts if part.signal == "lexical"), 0.0)
        shared = self._terms if lexical > 0 else frozenset[str]()  # no term is shown where words contributed nothing
        located = [
            _LocatedTerms(passage, {field: _read(text).places_of(shared) for field, text in passage.fields.items()})
            for passage in best
        ]
        terms = self._term_contributions(located[0], lexical) if located and lexical > 0 else []
        evidence = _evidence(located, self._weights, self._lone)
        must_have = tuple(self._must_have(finding, by_work.get(finding.work_id)) for finding in ranked.must_have)
        by_meaning = next((part.contribution for part in ranked.parts if part.signal == "semantic"), 0.0)
        reason = _NOTHING
        if ranked.score > 0:
            reason = _reason(terms, best, evidence, must_have, is_by_meaning=by_meaning > lexical)
        return Explanation(
            ranked.parts,
            tuple(terms[:_MAX_TERMS]),
            tuple(evidence),
            must_have,
            ranked.missing_must_have,
            ranked.missing_nice_to_have,
            reason,
        )

    def _must_have(self, finding: TopicFinding, passage: PassageText | None) -> MustHave:
        topic, state = finding.topic, finding.state
        if passage is None or state == "not_met" or not topic.alternatives:
            return MustHave(topic.name, state, None)
        read = {field: _read(text) for field, text in passage.fields.items()}
        if state == "not_verified":
            near = _LocatedTerms(passage, {field: text.places_of(self._terms) for field, text in read.items()})
            sentences = _sentences(near, self._weights)
            return MustHave(topic.name, state, _cut(sentences[0], ()) if sentences else None)
        for alternative in topic.alternatives:
            terms = frozenset(alternative)
            places = {field: text.places_of(terms, also_meant=True) for field, text in read.items()}
            using = _LocatedTerms(passage, places)
            if terms <= {term for inside in places.values() for term, _, _ in inside}:
                best = _sentences(using, dict.fromkeys(terms, 1.0))[0]
                single = {term.removeprefix(NGRAM_MARK): "" for term in terms}
                return MustHave(topic.name, state, _cut(best, _highlights(best.places, single)))
        # A name in another language counts as all words of the Chinese one, which have no places of their own.
        wanted = frozenset(term for alternative in topic.alternatives for term in alternative)
        places = {
            field: [
                place
                for place in text.places()
                if not wanted.isdisjoint(count_terms(passage.fields[field][place[1] : place[2]]))
            ]
            for field, text in read.items()
        }
        names = {term for found in places.values() for term, _, _ in found}
        sentences = _sentences(_LocatedTerms(passage, places), dict.fromkeys(names, 1.0))
        nearest = sentences[0] if sentences else None
        return MustHave(
            topic.name, state, _cut(nearest, _highlights(nearest.places, {})) if nearest is not None else None
        )

    def _term_contributions(self, best: "_LocatedTerms", lexical: float) -> list[TermContribution]:
        """The lexical part split over words, largest first.

        The share of character n-grams and inner words goes to the longest shared word that contains them: people write
        谐波减速器, not 谐波, 波减 and 减速. A character is a term only where the demand uses it as a word (泵, 水).
        Pieces in no shared word belong to the lexical signal but to no term.
        """
        counts = Counter([term for places in best.places.values() for term, _, _ in places])
        # Not divided by the passage's length, which is one factor of all of them.
        products = {t: self._factors[t] * count_factor(counts[t]) for t in sorted(counts)}
        total = sum(products.values())
        holders = _Holders(self._shared_words(best.passage, products))
        shares: dict[str, float] = {}
        for term, product in products.items():
            holder = holders.find(self._pieces[term])
            if holder is not None:
                shares[holder] = shares.get(holder, 0.0) + lexical * product / total
        contributions = [TermContribution(term, share) for term, share in shares.items()]
        return sorted(contributions, key=lambda share: (-share.contribution, share.term))

    def _shared_words(self, passage: PassageText, products: Mapping[str, float]) -> list[tuple[str, str]]:
        """Words that both texts use, longest first, each folded and in the spelling of the query.

        A word of one text also counts where the other contains it only inside a longer word, because word segmentation
        may cut the two texts differently. Such a word has at least two characters.
        """
        folded_text = fold("\n".join(passage.fields.values()))
        words = {
            folded: surface
            for term, (folded, surface) in self._surfaces.items()
            if term in products or (len(folded) > 1 and folded in folded_text)
        }
        words |= {lone: surface for lone, surface in self._lone.items() if NGRAM_MARK + lone in products}
        for term in set[str]().union(*(_read(text).words for text in passage.fields.values())):
            if term not in words and (place := self._folded_query.text.find(term)) >= 0:
                start, end = self._folded_query.original_span(place, place + len(term))
                words[term] = self._query_text[start:end]
        return sorted(words.items(), key=lambda word: (-len(word[0]), word[0]))


class _Holders:
    """Finds the longest word that contains a piece, by a table for pieces of one and two characters, which most are."""

    def __init__(self, words: Sequence[tuple[str, str]]) -> None:
        """``words`` are pairs of the folded word and its spelling, longest first."""
        self._words = words
        self._of_short: dict[str, str] = {}
        for folded, word in words:
            for start in range(len(folded)):
                self._of_short.setdefault(folded[start], word)
                self._of_short.setdefault(folded[start : start + 2], word)

    def find(self, piece: str) -> str | None:
        if len(piece) <= 2:
            return self._of_short.get(piece)
        return next((word for folded, word in self._words if piece in folded), None)


class _LocatedTerms(NamedTuple):
    """A passage with the places of the query's terms in each of its fields."""

    passage: PassageText
    places: Mapping[str, Sequence[Place]]


@lru_cache(maxsize=1 << 14)  # some 50 MB for texts of usual length
def _read(text: str) -> ReadText:
    """Cached, because a night run shows the same passages in the lists of many demands."""
    return read_text(text)


def _lone_characters(text: str, occurrences: Sequence[Occurrence]) -> dict[str, str]:
    """Characters that are words of their own in the query (泵 in 泵的选型, not 漏 in 漏液): folded to spelling."""
    joined = {
        place
        for o in occurrences
        if is_ngram(o.term) and len(o.term) > len(NGRAM_MARK) + 1
        for place in range(o.start, o.end)
    }
    single = (o for o in occurrences if len(o.term.removeprefix(NGRAM_MARK)) == 1 and o.start not in joined)
    return {o.term.removeprefix(NGRAM_MARK): text[o.start : o.end] for o in single}


def _surfaces(text: str, occurrences: Sequence[Occurrence]) -> dict[str, str]:
    """The query's spelling of each of its words, at its first occurrence."""
    surfaces: dict[str, str] = {}
    for occurrence in occurrences:
        if not is_ngram(occurrence.term):
            surfaces.setdefault(occurrence.term, text[occurrence.start : occurrence.end])
    return surfaces


class _Sentence(NamedTuple):
    """A sentence of a passage with its query weight and the places of shared terms in it."""

    weight: float
    passage: PassageText
    field: str
    span: tuple[int, int]
    places: Sequence[Place]


def _evidence(
    located: Sequence[_LocatedTerms], query_weights: Mapping[str, float], lone: Mapping[str, str]
) -> list[QuotedSentence]:
    """Up to three sentences: the best one of each passage, then further ones with at least half the best weight."""
    ranked = [_sentences(one, query_weights) for one in located]
    firsts = [sentences[0] for sentences in ranked if sentences]
    if not firsts:
        return []
    enough = max(_ENOUGH_OF_BEST * max(sentence.weight for sentence in firsts), 1e-9)
    others = [sentence for sentences in ranked for sentence in sentences[1:] if sentence.weight >= enough]
    others.sort(key=lambda sentence: -sentence.weight)  # stable: equal sentences stay in the order of the passages
    shown = [_cut(sentence, _highlights(sentence.places, lone)) for sentence in firsts[:_MAX_EVIDENCE]]
    for sentence in others:
        if len(shown) == _MAX_EVIDENCE:
            break
        if (evidence := _cut(sentence, _highlights(sentence.places, lone))).highlights:
            shown.append(evidence)
    return shown


def _sentences(one: _LocatedTerms, query_weights: Mapping[str, float]) -> list[_Sentence]:
    """The passage's sentences by falling weight, equal ones in the order of the text."""
    passage, sentences = one.passage, list[_Sentence]()
    for field, text in passage.fields.items():
        places = one.places[field]
        starts = [start for _, start, _ in places]
        for sentence in _SENTENCE.finditer(text):
            start, end = sentence.span()
            if not sentence.group().strip():
                continue
            inside = [
                place for place in places[bisect_left(starts, start) : bisect_left(starts, end)] if place[2] <= end
            ]
            weight = sum({term: query_weights[term] for term, _, _ in inside}.values())
            sentences.append(_Sentence(weight, passage, field, (start, end), inside))
    return sorted(sentences, key=lambda sentence: -sentence.weight)


def _highlights(places: Sequence[Place], lone: Mapping[str, str]) -> list[tuple[int, int]]:
    """Merged spans of shared words and bigrams, and of characters that are words of their own in the demand."""
    spans = [(start, end) for term, start, end in places if len(t := term.removeprefix(NGRAM_MARK)) > 1 or t in lone]
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _cut(sentence: _Sentence, highlights: Sequence[tuple[int, int]]) -> QuotedSentence:
    """The sentence without surrounding blanks. A very long one is cut to a window around its first highlight."""
    _, passage, field, (start, end), _ = sentence
    text = passage.fields[field]
    start += len(text[start:end]) - len(text[start:end].lstrip())
    end = start + len(text[start:end].rstrip())
    if end - start > _MAX_EVIDENCE_CHARACTERS:
        first = highlights[0][0] if highlights else start
        start = max(
            start,
            min(first - _MAX_EVIDENCE_CHARACTERS // 4, end - _MAX_EVIDENCE_CHARACTERS),
        )
        end = min(end, start + _MAX_EVIDENCE_CHARACTERS)
    start += len(text[start:end]) - len(text[start:end].lstrip())
    shown = text[start:end].rstrip()
    inside = [(a - start, b - start) for a, b in highlights if a >= start and b <= start + len(shown)]
    title = passage.title if passage.work_id is not None else None
    return QuotedSentence(passage.work_id, title, passage.year, field, start, shown, tuple(inside))


def _reason(
    terms: Sequence[TermContribution],
    passages: Sequence[PassageText],
    evidence: Sequence[QuotedSentence],
    must_have: Sequence[MustHave],
    *,
    is_by_meaning: bool,
) -> Bilingual:
    """One sentence for people. Where no words are shared, it says so and quotes the closest text. Where meaning brought
    more than the shared words, it says that first.
    """
    source = _source(passages[0]) if passages else Bilingual("其资料", "its record")
    lacking = _lacking(must_have)
    if not terms:
        quote = evidence[0].text[:_QUOTED_CHARACTERS] if evidence and evidence[0].field != "title" else ""
        return Bilingual(
            f"与需求用词不同而含义相近，最接近的是{source.zh}" + (f"：“{quote}…”" if quote else "") + f"{lacking.zh}。",
            f"Says it in other words but means something close; the closest passage is {source.en}"
            + (f": “{quote}…”" if quote else "")
            + f"{lacking.en}.",
        )
    words = [share.term for share in sorted(terms, key=lambda share: len(share.term) < 2)][:_N_TERMS_IN_REASON]
    quoted_zh = "".join(f"『{word}』" for word in words)
    quoted_en = ", ".join(f"“{word}”" for word in words)
    if is_by_meaning:
        return Bilingual(
            f"与需求含义相近，并同样写到{quoted_zh}，依据{source.zh}{lacking.zh}。",
            f"Means something close to the demand and shares {quoted_en}, according to {source.en}{lacking.en}.",
        )
    return Bilingual(
        f"与需求的{quoted_zh}相符，依据{source.zh}{lacking.zh}。",
        f"Shares {quoted_en} with the demand, according to {source.en}{lacking.en}.",
    )


def _lacking(must_have: Sequence[MustHave]) -> Bilingual:
    """The must-haves that are not met, and those that are not verified, as the end of a sentence."""
    zh, en = "", ""
    if missing := [finding.topic for finding in must_have if finding.state == "not_met"]:
        zh += f"；未见必备条件{''.join(f'『{topic}』' for topic in missing)}的依据"
        en += f"; no evidence for the must-have {', '.join(f'“{topic}”' for topic in missing)}"
    if unverified := [finding.topic for finding in must_have if finding.state == "not_verified"]:
        zh += f"；必备条件{''.join(f'『{topic}』' for topic in unverified)}含义相近，未能核实"
        en += f"; close in meaning, but not verified: the must-have {', '.join(f'“{topic}”' for topic in unverified)}"
    return Bilingual(zh, en)


def _source(passage: PassageText) -> Bilingual:
    if passage.work_id is None:
        return Bilingual("其简介", "the profile's own text")
    name = _WORK_NAMES.get(passage.kind, Bilingual("成果", "work"))
    year = f"({passage.year})" if passage.year else ""
    return Bilingual(
        f"其{name.zh}《{passage.title}》{year}",
        f"the {name.en} “{passage.title}”{' ' if year else ''}{year}",
    )
