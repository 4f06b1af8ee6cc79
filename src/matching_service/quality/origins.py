"""Whether lists favour an origin: first places beside the supply, wrong overseas profiles before right ones of China,
and what the levels mean in each language.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matching_service.evaluation.judgements import Judgements
from matching_service.evaluation.measures import RELEVANT_FROM
from matching_service.ranking.calibrate import LEVEL_NAMES, Level
from matching_service.ranking.ranker import RankedProfile
from matching_service.store.profiles import ProfileRow

N_SHOWN = 100
"""Length of the lists that are looked at."""
_N_FIRST = 5
HOME_LANGUAGE = "zh"
OTHER_LANGUAGES = "others"

Lists = Mapping[str, Sequence[RankedProfile]]
"""The best ``N_SHOWN`` profiles of each demand, by its id."""


@dataclass(frozen=True, slots=True)
class Places:
    """The places of overseas profiles in the lists of one scope.

    supply_share, first_share : shares of the supply and of all first places, in [0, 1].
    right_overseas, right_home : share of the first places of each origin that a right profile has; None without any.
    n_unjudged : profiles without a judgement among the first five, which count as wrong.
    n_wrong_before_right : demands where a wrong overseas profile stands before the best right one of China, of the
        ``n_demands`` that list such a right one.
    """

    scope: str
    supply_share: float
    first_share: float
    right_overseas: float | None
    right_home: float | None
    n_unjudged: int
    n_wrong_before_right: int
    n_demands: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """The listed profiles of one language at one level: how many, how many of these are judged and are right."""

    language: str
    level: Level
    n_listed: int
    n_judged: int
    n_right: int


def places_of(scope: str, lists: Lists, judgements: Judgements, supply: Iterable[ProfileRow]) -> Places:
    """Count places. supply : all profiles of the scope."""
    profiles = {row.id: row for row in supply}
    firsts: Counter[tuple[bool, bool]] = Counter()  # by whether the profile is overseas, and whether it is right
    n_unjudged = n_wrong_before_right = n_demands = 0
    for demand_id, ranked in lists.items():
        grades = judgements[demand_id]
        entries = [
            (profiles[entry.profile_id].is_overseas, grades.get(entry.profile_id, 0) >= RELEVANT_FROM)
            for entry in ranked
        ]
        firsts.update(entries[:1])
        n_unjudged += sum(entry.profile_id not in grades for entry in ranked[:_N_FIRST])
        if (False, True) in entries:
            n_demands += 1
            n_wrong_before_right += (True, False) in entries[: entries.index((False, True))]
    n_overseas = firsts[True, True] + firsts[True, False]
    return Places(
        scope,
        supply_share=_share(sum(row.is_overseas for row in profiles.values()), len(profiles)) or 0.0,
        first_share=_share(n_overseas, firsts.total()) or 0.0,
        right_overseas=_share(firsts[True, True], n_overseas),
        right_home=_share(firsts[False, True], firsts[False, True] + firsts[False, False]),
        n_unjudged=n_unjudged,
        n_wrong_before_right=n_wrong_before_right,
        n_demands=n_demands,
    )


def reliability_of(lists: Lists, judgements: Judgements, supply: Iterable[ProfileRow]) -> list[Reliability]:
    """Count by language of the profile and by level. The languages other than Chinese also stand together."""
    languages = {row.id: row.language for row in supply}
    listed: Counter[tuple[str, Level]] = Counter()
    judged: Counter[tuple[str, Level]] = Counter()
    right: Counter[tuple[str, Level]] = Counter()
    for demand_id, ranked in lists.items():
        for entry in ranked:
            language = languages[entry.profile_id]
            groups = (language,) if language == HOME_LANGUAGE else (language, OTHER_LANGUAGES)
            grade = judgements[demand_id].get(entry.profile_id)
            for group in groups:
                listed[group, entry.level] += 1
                judged[group, entry.level] += grade is not None
                right[group, entry.level] += (grade or 0) >= RELEVANT_FROM
    used = {language for language, _ in listed}
    order = sorted(used, key=lambda language: (language != HOME_LANGUAGE, language == OTHER_LANGUAGES, language))
    keys = [(language, level) for language in order for level in LEVEL_NAMES]
    return [Reliability(*key, listed[key], judged[key], right[key]) for key in keys if listed[key]]


def _share(n: int, of: int) -> float | None:
    return n / of if of else None
