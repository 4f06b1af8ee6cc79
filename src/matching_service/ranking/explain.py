"""Why a profile stands where it stands: the terms that carried it, the sentences that show it, one plain reason.

Works on the few profiles that are shown, from their texts, with the same analysis that built the index.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from matching_service.foundation.errors import Text
from matching_service.index.frequencies import Frequencies
from matching_service.index.postings import impacts
from matching_service.ranking.lexical import query_weights
from matching_service.ranking.prepare import PreparedQuery
from matching_service.ranking.ranker import RankedProfile
from matching_service.text.normalise import fold, fold_with_spans
from matching_service.text.terms import NGRAM_MARK, Occurrence, find_terms, is_ngram

_MAX_TERMS = 8
_MAX_EVIDENCE = 3
_MAX_EVIDENCE_CHARACTERS = 160
_ENOUGH_OF_BEST = 0.5
_N_TERMS_IN_REASON = 3
_QUOTED_CHARACTERS = 40
_SENTENCE = re.compile(r"[^。！？!?；;\n]*[。！？!?；;\n]?|[^。！？!?；;\n]+$")
_NOTHING = Text("没有发现与需求相符之处。", "Nothing was found that fits the demand.")
_WORK_NAMES = {
    "paper": Text("论文", "paper"),
    "patent": Text("专利", "patent"),
    "project": Text("项目", "project"),
    "standard": Text("标准", "standard"),
}


@dataclass(frozen=True, slots=True)
class PassageText:
    """The stored texts of one passage, by field, as people wrote them. ``work_id`` None: the profile's own."""

    work_id: str | None
    fields: Mapping[str, str]
    kind: str = ""
    title: str = ""
    year: int | None = None


@dataclass(frozen=True, slots=True)
class TermContribution:
    """``term`` as the query's author would write it; ``contribution`` is its share of the score."""

    term: str
    contribution: float


@dataclass(frozen=True, slots=True)
class Evidence:
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


@dataclass(frozen=True, slots=True)
class Explanation:
    terms: tuple[TermContribution, ...]
    evidence: tuple[Evidence, ...]
    reason: Text


class Explainer:
    """Explains any number of profiles for one query; what depends on the query alone is computed once."""

    def __init__(self, prepared: PreparedQuery, frequencies: Frequencies) -> None:
        self._weights = query_weights(prepared.terms, prepared.title_terms, prepared.rarity, frequencies)
        asked = replace(prepared.query.topical(), nice_to_have=()).text  # what the weights were made of
        self._lone = _lone_characters(asked)
        self._surfaces = {
            term: surface
            for term, surface in _surfaces(asked).items()
            if len(surface) > 1 or fold(surface) in self._lone
        }
        self._asked, self._folded_query = asked, fold_with_spans(asked)

    def explain(self, ranked: RankedProfile, passages: Sequence[PassageText]) -> Explanation:
        """Explain one ranked profile from the texts of ``ranked.work_ids``, in that order."""
        lexical = next((part.contribution for part in ranked.parts if part.signal == "lexical"), 0.0)
        weights = self._weights if lexical > 0 else {}  # where words carried nothing, none are shown
        terms = self._term_contributions(passages[0], lexical) if passages and lexical > 0 else []
        evidence = _evidence(passages, weights, self._lone)
        reason = _reason(terms, passages, evidence, ranked.missing_must_have) if ranked.score > 0 else _NOTHING
        return Explanation(tuple(terms[:_MAX_TERMS]), tuple(evidence), reason)

    def _term_contributions(self, best_passage: PassageText, lexical: float) -> list[TermContribution]:
        """The lexical part split over words, largest first.

        What character n-grams and inner words earned is credited to the longest shared word that holds them:
        people write 谐波减速器, not 谐波, 波减 and 减速. A character is a term only where the demand uses it as a
        word (泵, 水); what no shared word holds is part of the lexical signal but no term of the demand.
        """
        counts = Counter(o.term for text in best_passage.fields.values() for o in _occurrences(text))
        products = {
            term: self._weights[term] * weight for term, weight in impacts(counts).items() if term in self._weights
        }
        total = sum(products.values())
        shared = self._shared_words(best_passage, products)
        shares: dict[str, float] = {}
        for term, product in products.items():
            part = fold(self._surfaces.get(term, term.removeprefix(NGRAM_MARK)))
            holder = next((word for folded, word in shared if part in folded), None)
            if holder is not None:
                shares[holder] = shares.get(holder, 0.0) + lexical * product / total
        found = [TermContribution(term, share) for term, share in shares.items()]
        return sorted(found, key=lambda share: (-share.contribution, share.term))

    def _shared_words(self, passage: PassageText, products: Mapping[str, float]) -> list[tuple[str, str]]:
        """Words that both texts use, longest first, each folded and as the query writes it.

        Words of either side count that the other holds only as a piece of a longer word, because the two texts may
        be cut differently; such a word has two characters at least.
        """
        text = "\n".join(passage.fields.values())
        folded_text = fold(text)
        words = {fold(surface): surface for term, surface in self._surfaces.items() if term in products}
        words |= {lone: surface for lone, surface in self._lone.items() if NGRAM_MARK + lone in products}
        words |= {
            folded: surface
            for surface in self._surfaces.values()
            if len(folded := fold(surface)) > 1 and folded in folded_text
        }
        for o in (o for field in passage.fields.values() for o in _occurrences(field) if not is_ngram(o.term)):
            if len(o.term) > 1 and (place := self._folded_query.text.find(o.term)) >= 0:
                start, end = self._folded_query.original_span(place, place + len(o.term))
                words.setdefault(o.term, self._asked[start:end])
        return sorted(words.items(), key=lambda word: (-len(word[0]), word[0]))


@lru_cache(maxsize=512)  # some 70 MB for texts of usual length
def _occurrences(text: str) -> tuple[Occurrence, ...]:
    """The terms of a stored text. A night run meets the same passages in the lists of many demands."""
    return tuple(find_terms(text))


def _lone_characters(text: str) -> dict[str, str]:
    """Characters that are words by themselves in the query, folded, and as written: 泵 in 泵的选型, not 漏 in 漏液."""
    occurrences = find_terms(text)
    joined = {
        place
        for o in occurrences
        if is_ngram(o.term) and len(o.term) > len(NGRAM_MARK) + 1
        for place in range(o.start, o.end)
    }
    single = (o for o in occurrences if len(o.term.removeprefix(NGRAM_MARK)) == 1 and o.start not in joined)
    return {o.term.removeprefix(NGRAM_MARK): text[o.start : o.end] for o in single}


def _surfaces(text: str) -> dict[str, str]:
    """How the query writes each of its words: first occurrence, original spelling."""
    surfaces: dict[str, str] = {}
    for occurrence in find_terms(text):
        if not is_ngram(occurrence.term):
            surfaces.setdefault(occurrence.term, text[occurrence.start : occurrence.end])
    return surfaces


def _evidence(
    passages: Sequence[PassageText], query_weights: Mapping[str, float], lone: Mapping[str, str]
) -> list[Evidence]:
    """Up to three sentences: the best one of each passage, then the next best that still say half as much."""
    ranked = [_sentences(passage, query_weights, lone) for passage in passages]
    firsts = [sentences[0] for sentences in ranked if sentences]
    if not firsts:
        return []
    enough = max(_ENOUGH_OF_BEST * max(weight for weight, _ in firsts), 1e-9)
    others = [found for sentences in ranked for found in sentences[1:] if found[0] >= enough and found[1].highlights]
    others.sort(key=lambda found: -found[0])  # stable: equal ones in the order of the passages
    return [evidence for _, evidence in (firsts + others)[:_MAX_EVIDENCE]]


def _sentences(
    passage: PassageText, query_weights: Mapping[str, float], lone: Mapping[str, str]
) -> list[tuple[float, Evidence]]:
    """The passage's sentences with their query weight, heaviest first, equal ones in the order of the text."""
    found: list[tuple[float, Evidence]] = []
    for field, text in passage.fields.items():
        occurrences = [o for o in _occurrences(text) if o.term in query_weights]
        starts = [o.start for o in occurrences]
        for sentence in _SENTENCE.finditer(text):
            if not sentence.group().strip():
                continue
            first, last = bisect_left(starts, sentence.start()), bisect_left(starts, sentence.end())
            inside = [o for o in occurrences[first:last] if o.end <= sentence.end()]
            weight = sum({o.term: query_weights[o.term] for o in inside}.values())
            found.append((weight, _cut(passage, field, sentence.span(), _highlights(inside, lone))))
    return sorted(found, key=lambda sentence: -sentence[0])


def _highlights(occurrences: Sequence[Occurrence], lone: Mapping[str, str]) -> list[tuple[int, int]]:
    """Spans of shared words and bigrams, merged; a character is shown only where the demand uses it as a word."""
    spans = [(o.start, o.end) for o in occurrences if len(text := o.term.removeprefix(NGRAM_MARK)) > 1 or text in lone]
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _cut(
    passage: PassageText, field: str, sentence: tuple[int, int], highlights: Sequence[tuple[int, int]]
) -> Evidence:
    """The sentence without surrounding blanks; a very long one is cut to a window around its first highlight."""
    text = passage.fields[field]
    start, end = sentence
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
    return Evidence(passage.work_id, title, passage.year, field, start, shown, tuple(inside))


def _reason(
    terms: Sequence[TermContribution],
    passages: Sequence[PassageText],
    evidence: Sequence[Evidence],
    missing: Sequence[str],
) -> Text:
    """One sentence for people. Without shared words it says so and invents none, but quotes the closest text."""
    source = _source(passages[0]) if passages else Text("其资料", "its record")
    lacking = Text("", "")
    if missing:
        lacking = Text(
            f"；未见必备条件{''.join(f'『{topic}』' for topic in missing)}的依据",
            f"; no evidence for the must-have {', '.join(f'“{topic}”' for topic in missing)}",
        )
    if not terms:
        quote = evidence[0].text[:_QUOTED_CHARACTERS] if evidence and evidence[0].field != "title" else ""
        return Text(
            f"与需求用词不同而含义相近，最接近的是{source.zh}" + (f"：“{quote}…”" if quote else "") + f"{lacking.zh}。",
            f"Says it in other words but means something close; the closest passage is {source.en}"
            + (f": “{quote}…”" if quote else "")
            + f"{lacking.en}.",
        )
    words = [share.term for share in sorted(terms, key=lambda share: len(share.term) < 2)][:_N_TERMS_IN_REASON]
    quoted_zh = "".join(f"『{word}』" for word in words)
    quoted_en = ", ".join(f"“{word}”" for word in words)
    return Text(
        f"与需求的{quoted_zh}相符，依据{source.zh}{lacking.zh}。",
        f"Shares {quoted_en} with the demand, according to {source.en}{lacking.en}.",
    )


def _source(passage: PassageText) -> Text:
    if passage.work_id is None:
        return Text("其简介", "the profile's own text")
    name = _WORK_NAMES.get(passage.kind, Text("成果", "work"))
    year = f"({passage.year})" if passage.year else ""
    return Text(
        f"其{name.zh}《{passage.title}》{year}",
        f"the {name.en} “{passage.title}”{' ' if year else ''}{year}",
    )
