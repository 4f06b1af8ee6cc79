"""The difference between two lists of a demand, and the wording of its causes. Pure.

Only ranks, profile ids and codes of causes are stored with a list. Names and sentences are added on reading, so that
nothing shows the name of a profile that was deleted since.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from matching_service.eligibility.rules import RULES
from matching_service.foundation.errors import Bilingual
from matching_service.shortlists.schemas import CauseAnswer, DemandChanges, MovedProfile, PlacedProfile

MOVED_AT_LEAST = 3
"""Ranks. Smaller moves are noise that nobody acts on."""
_MAX_WORKS = 5

_WORDS: Mapping[str, Bilingual] = {
    "first_list": Bilingual("这是该需求的第一份名单。", "This is the first list of the demand."),
    "new_profile": Bilingual("新增画像。", "A new profile."),
    "profile_changed": Bilingual("画像有改动：{zh}。", "The profile changed: {en}."),
    "availability_changed": Bilingual(
        "可承接时间的起止日期已到或临近。", "The start or the approaching end of its availability was reached."
    ),
    "standing_changed": Bilingual(
        "其他需求对其的入选、否决、推荐结果或在手项目有变化。",
        "Decisions or suggestions for other demands, or its workload, changed.",
    ),
    "pinned": Bilingual("工作人员已在本需求中置顶该画像。", "Staff pinned it for this demand."),
    "shortlisted": Bilingual("工作人员已将该画像列为本需求的入围对象。", "Staff shortlisted it for this demand."),
    "asked_again": Bilingual("工作人员就本需求再次联系了对方。", "Staff contacted it again for this demand."),
    "exclusions_changed": Bilingual(
        "需求机构的排除名单有改动。", "The exclusion list of the demanding organization changed."
    ),
    "deleted": Bilingual("画像已删除。", "The profile was deleted."),
    **{rule.code: rule.words for rule in RULES},
    "unavailable": Bilingual("生成名单当日不能承接。", "It was not available on that day."),
    "demand_changed": Bilingual("需求有改动：{zh}。", "The demand changed: {en}."),
    "asked_by_hand": Bilingual(
        "两份名单中有一份是由人工按单独条件即时生成的。",
        "One of the two lists was requested by hand, with conditions of its own.",
    ),
    "weights_changed": Bilingual("匹配权重已调整。", "The weights changed."),
    "lexicon_changed": Bilingual("词库已更新。", "The lexicon changed."),
    "encoder_changed": Bilingual("语义模型已更换。", "The encoder changed."),
    "frequencies_changed": Bilingual("词频统计已更新。", "The word statistics of the index were renewed."),
    "stability_changed": Bilingual("名单稳定度设置已调整。", "The stability setting changed."),
    "new_year": Bilingual("已进入新的一年，成果的新近程度随之变化。", "A new year began: all works are a year older."),
    "others_moved": Bilingual(
        "自身无变化，因其他画像的变化而移动。", "It did not change itself; other profiles entered, left or moved."
    ),
}
_FIELDS: Mapping[str, Bilingual] = {
    "name": Bilingual("名称", "name"),
    "kind": Bilingual("类别", "kind"),
    "summary": Bilingual("简介", "summary"),
    "keywords": Bilingual("关键词", "keywords"),
    "fields": Bilingual("领域", "fields"),
    "organization_id": Bilingual("所属机构", "organization"),
    "region": Bilingual("地区", "region"),
    "country": Bilingual("国家", "country"),
    "language": Bilingual("语言", "language"),
    "title": Bilingual("标题或职称", "title"),
    "honours": Bilingual("荣誉", "honours"),
    "clusters": Bilingual("产业集群", "clusters"),
    "capacity": Bilingual("承接上限", "capacity"),
    "available_from": Bilingual("可承接起始日", "available from"),
    "available_until": Bilingual("可承接截止日", "available until"),
    "visibility": Bilingual("可见性", "visibility"),
    "works": Bilingual("成果", "works"),
    "problem": Bilingual("主要问题", "problem"),
    "key_technology": Bilingual("关键技术", "key technology"),
    "expected_goal": Bilingual("预期目标", "expected goal"),
    "must_have": Bilingual("必备条件", "must-haves"),
    "nice_to_have": Bilingual("优先条件", "nice-to-haves"),
    "cluster": Bilingual("产业集群", "cluster"),
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a profile entered, left or moved.

    fields : names of the changed fields.
    works : titles of the works that were added, changed or removed.
    """

    code: str
    fields: tuple[str, ...] = ()
    works: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.code not in _WORDS:
            raise ValueError(f"no wording for the cause {self.code!r}")

    def stored(self) -> dict[str, Any]:
        """Return plain JSON without empty lists."""
        parts = {"fields": list(self.fields), "works": list(self.works[:_MAX_WORKS])}
        return {"code": self.code} | {name: values for name, values in parts.items() if values}


@dataclass(frozen=True, slots=True)
class Moves:
    """The profiles that entered, left or moved far, each with its rank, ordered by rank.

    A profile that left because it was deleted has None for an id.
    """

    entered: Sequence[tuple[int, str]]
    left: Sequence[tuple[int, str | None]]
    moved: Sequence[tuple[int, int, str]]
    """Rank before, rank now, profile id; ordered by the rank now."""

    def __bool__(self) -> bool:
        return bool(self.entered or self.left or self.moved)

    def stored(
        self,
        *,
        entered: Callable[[str], Sequence[Cause]],
        left: Callable[[str | None], Sequence[Cause]],
        moved: Callable[[str], Sequence[Cause]],
    ) -> dict[str, Any]:
        """Return plain JSON for ``MatchListRow.changes``. The functions give the causes for each profile."""
        return {
            "entered": [
                {"profile_id": profile_id, "rank": rank, "causes": [cause.stored() for cause in entered(profile_id)]}
                for rank, profile_id in self.entered
            ],
            "left": [
                {"profile_id": profile_id, "rank": rank, "causes": [cause.stored() for cause in left(profile_id)]}
                for rank, profile_id in self.left
            ],
            "moved": [
                {
                    "profile_id": profile_id,
                    "from_rank": before,
                    "to_rank": now,
                    "causes": [cause.stored() for cause in moved(profile_id)],
                }
                for before, now, profile_id in self.moved
            ],
        }


def compare_lists(before: Mapping[str, int], after: Mapping[str, int], *, n_before: int | None = None) -> Moves:
    """Compare two lists, given as ranks by profile id.

    n_before : the original length of the list before. Ranks up to it that have no profile in ``before`` belong to
        profiles that were deleted since.
    """
    left: list[tuple[int, str | None]] = [(rank, id_) for id_, rank in before.items() if id_ not in after]
    ranks = set(range(1, (n_before if n_before is not None else len(before)) + 1))
    left += [(rank, None) for rank in ranks - set(before.values())]
    return Moves(
        entered=sorted((rank, id_) for id_, rank in after.items() if id_ not in before),
        left=sorted(left, key=lambda entry: entry[0]),
        moved=[
            (before[id_], rank, id_)
            for id_, rank in sorted(after.items(), key=lambda entry: entry[1])
            if id_ in before and abs(rank - before[id_]) >= MOVED_AT_LEAST
        ],
    )


def profile_ids_of(stored: Mapping[str, Any]) -> Iterator[str]:
    """Yield the id of every profile in stored changes."""
    for entries in stored.values():
        yield from (entry["profile_id"] for entry in entries if entry["profile_id"] is not None)


@dataclass(frozen=True, slots=True)
class ChangedList:
    """The list whose changes are read: its demand, its run, and the moment it became visible."""

    demand_id: str
    demand_title: str
    run_id: str
    at: datetime


def read_changes(of: ChangedList, stored: Mapping[str, Any], names: Mapping[str, str]) -> DemandChanges:
    """Turn stored changes into an answer.

    names : by profile id, of the profiles that still exist. Deleted profiles get no name and no titles of works.
    """

    def with_words(entry: Mapping[str, Any]) -> dict[str, Any]:
        name = names.get(entry["profile_id"] or "")
        causes = [_cause_answer(cause, shows_works=name is not None) for cause in entry["causes"]]
        return dict(entry) | {"name": name, "causes": causes}

    return DemandChanges(
        **asdict(of),
        entered=[PlacedProfile.model_validate(with_words(entry)) for entry in stored["entered"]],
        left=[PlacedProfile.model_validate(with_words(entry)) for entry in stored["left"]],
        moved=[MovedProfile.model_validate(with_words(entry)) for entry in stored["moved"]],
    )


def _cause_answer(stored: Mapping[str, Any], *, shows_works: bool) -> CauseAnswer:
    fields = stored.get("fields", [])
    works = stored.get("works", []) if shows_works else []
    names = [_FIELDS.get(field, Bilingual(field, field)) for field in fields if field != "works" or not works]
    zh = [name.zh for name in names] + [f"成果《{title}》" for title in works]
    en = [name.en for name in names] + [f"the work “{title}”" for title in works]
    words = _WORDS[stored["code"]]
    return CauseAnswer(
        code=stored["code"],
        fields=fields,
        works=works,
        zh=words.zh.format(zh="、".join(zh)),
        en=words.en.format(en=", ".join(en)),
    )
