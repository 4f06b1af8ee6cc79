"""The structured signals, from the facts of a profile. One function per signal gives a value with its reason, or None.

A value is in [0, 1]: 0.5 is neutral, more speaks for the profile, less against it. None means "not known" and moves
nothing, exactly like 0.5. ``fusion`` decides how far signals move a score.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache

from matching_service.foundation.errors import Bilingual
from matching_service.index.contract import Facts
from matching_service.ranking.query import Query
from matching_service.text.normalise import fold

_HAN = re.compile("[\u4e00-\u9fff]")
_YEARS_TO_HALF = 5.0
SOON = timedelta(days=90)
"""A profile that is available for less time than this is of limited help."""
_HONOURS = (
    "院士",
    "长江学者",
    "杰出青年",
    "杰青",
    "万人计划",
    "教授",
    "研究员",
    "正高级工程师",
    "高级工程师",
    "博士生导师",
)


@dataclass(frozen=True, slots=True)
class Standing:
    """A profile's record with this programme: open demands it serves, and how staff judged it for other demands."""

    load: int = 0
    n_accepted: int = 0
    n_rejected: int = 0


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a ranking depends on beside texts and facts: the day, and the past of this programme.

    standings : by profile id; a profile that is not in it has no record.
    former_scores : the scores of the list before, by profile id. stability : the largest loss against them that counts
        as noise (``fusion.fuse``). Only the lists of runs have these two.
    """

    today: date
    standings: Mapping[str, Standing] = field(default_factory=dict)
    former_scores: Mapping[str, float] = field(default_factory=dict)
    stability: float = 0.0


@dataclass(frozen=True, slots=True)
class CandidateFacts:
    """The facts of a profile that the signals read. ``year`` is the year of its best passage."""

    facts: Facts
    standing: Standing
    year: int | None


@dataclass(frozen=True, slots=True)
class SignalValue:
    """``value`` is in [0, 1]; ``reason`` names the facts that were compared."""

    value: float
    reason: Bilingual


def cluster_fit(query: Query, candidate: CandidateFacts, _today: date) -> SignalValue | None:
    """1 in the demand's industry cluster, 0 in other clusters alone."""
    clusters = candidate.facts.clusters
    if query.cluster is None or not clusters:
        return None
    if query.cluster in clusters:
        return SignalValue(1.0, Bilingual(f"同属“{query.cluster}”产业集群", f"same industry cluster: {query.cluster}"))
    others = "、".join(clusters)
    return SignalValue(
        0.0, Bilingual(f"所属产业集群为{others}，不是“{query.cluster}”", f"serves other clusters: {others}")
    )


def field_fit(query: Query, candidate: CandidateFacts, _today: date) -> SignalValue | None:
    """1 where the demand names a field of the profile. Fields are free text, so another wording proves nothing."""
    text = _folded_text(query)
    named = [name for name in candidate.facts.fields if len(name) > 1 and fold(name) in text]
    if not named:
        return None
    return SignalValue(1.0, Bilingual(f"需求提到其领域“{named[0]}”", f"the demand names its field {named[0]}"))


def region_fit(query: Query, candidate: CandidateFacts, _today: date) -> SignalValue | None:
    """1 in the same district, 0.9 city, 0.7 province, 0.5 country. Another country is neutral, because the programme
    exists to reach those experts.
    """
    facts = candidate.facts
    if query.region is None:
        return None
    if facts.is_overseas:
        return SignalValue(
            0.5, Bilingual(f"在境外（{facts.country}），不计地域", f"abroad ({facts.country}): no influence")
        )
    if facts.region is None:
        return None
    for n_digits, value, name in (
        (6, 1.0, Bilingual("同区县", "same district")),
        (4, 0.9, Bilingual("同城市", "same city")),
        (2, 0.7, Bilingual("同省", "same province")),
    ):
        part = query.region[:n_digits]
        if part == facts.region[:n_digits] and not part.endswith("00"):  # 440600 names a city and no district
            return SignalValue(value, name)
    return SignalValue(0.5, Bilingual("同在国内", "same country"))


def honours_fit(query: Query, candidate: CandidateFacts, _today: date) -> SignalValue | None:
    """Only where a demand names an honour or title (院士 in 院士工作站): 1 with it, 0 without."""
    demanded = _honours_demanded(query)
    held = "；".join((*candidate.facts.honours, candidate.facts.title or ""))
    if not demanded or _HAN.search(held) is None:  # "Professor" may stand for any of these titles
        return None
    full = held.replace("副教授", "").replace("副研究员", "")
    held_too = [honour for honour in demanded if honour in full]
    wanted = "、".join(demanded)
    if held_too:
        return SignalValue(
            1.0, Bilingual(f"需求要求{wanted}，其为{'、'.join(held_too)}", f"has what is asked for: {wanted}")
        )
    return SignalValue(
        0.0, Bilingual(f"需求要求{wanted}，其职称荣誉中没有", f"asked for: {wanted}; not among its honours")
    )


def recency(_query: Query, candidate: CandidateFacts, today: date) -> SignalValue | None:
    """1 for a work of this year, 0.5 after five years, 0.25 after ten."""
    if candidate.year is None:
        return None
    age = max(0, today.year - candidate.year)
    value = 0.5 ** (age / _YEARS_TO_HALF)
    return SignalValue(
        value, Bilingual(f"最相关的成果为 {candidate.year} 年", f"its closest work is of {candidate.year}")
    )


def availability(_query: Query, candidate: CandidateFacts, today: date) -> SignalValue | None:
    """Neutral with free capacity, down to 0 at the limit; 0.25 where the profile is available for a short time only."""
    facts, load = candidate.facts, candidate.standing.load
    if facts.capacity is not None:
        value = 0.5 * (1 - min(1.0, load / facts.capacity)) if facts.capacity else 0.0
        return SignalValue(
            value,
            Bilingual(f"在手 {load} 项，上限 {facts.capacity} 项", f"serves {load} demands, at most {facts.capacity}"),
        )
    if facts.available_until is not None and facts.available_until - today < SOON:
        return SignalValue(
            0.25, Bilingual(f"可用至 {facts.available_until}", f"available until {facts.available_until}")
        )
    return None


def track_record(_query: Query, candidate: CandidateFacts, _today: date) -> SignalValue | None:
    """Share of other demands for which staff kept the profile rather than rejecting it, (a + 1) / (a + r + 2)."""
    accepted, rejected = candidate.standing.n_accepted, candidate.standing.n_rejected
    if accepted + rejected == 0:
        return None
    return SignalValue(
        (accepted + 1) / (accepted + rejected + 2),
        Bilingual(
            f"此前 {accepted} 次入选，{rejected} 次被否",
            f"shortlisted {accepted} times before, rejected {rejected} times",
        ),
    )


@lru_cache(maxsize=64)
def _folded_text(query: Query) -> str:
    """Cached, because hundreds of candidates are compared with one query."""
    return fold(query.text)


@lru_cache(maxsize=64)
def _honours_demanded(query: Query) -> tuple[str, ...]:
    """The honours that a demand names. An honour inside a longer one does not count: 高级工程师 in 正高级工程师."""
    named = [honour for honour in _HONOURS if honour in query.text]
    return tuple(honour for honour in named if not any(honour in other for other in named if other != honour))


SIGNAL_FUNCTIONS: Mapping[str, Callable[[Query, CandidateFacts, date], SignalValue | None]] = {
    "cluster": cluster_fit,
    "field": field_fit,
    "region": region_fit,
    "honours": honours_fit,
    "recency": recency,
    "availability": availability,
    "track_record": track_record,
}

_SILENT = (0.5, 0.5)
_ANY = (0.0, 1.0)


def value_ranges(query: Query, circumstances: Circumstances) -> Mapping[str, tuple[float, float]]:
    """The least and the greatest value that each signal can have for any profile; an unknown signal counts as 0.5."""
    return {
        "cluster": _ANY if query.cluster is not None else _SILENT,
        "field": (0.5, 1.0),
        "region": (0.5, 1.0) if query.region is not None else _SILENT,
        "honours": _ANY if _honours_demanded(query) else _SILENT,
        "recency": _ANY,
        "availability": (0.0, 0.5),
        "track_record": _ANY if circumstances.standings else _SILENT,
    }
