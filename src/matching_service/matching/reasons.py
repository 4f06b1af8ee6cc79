"""Reasons why a profile is not on a list. Pure."""

from collections.abc import Sequence

from matching_service.eligibility.schemas import ConflictReason, ReasonAnswer
from matching_service.foundation.errors import Bilingual
from matching_service.matching.schemas import MAX_TOP_K, ExplainBody, WhyNot
from matching_service.ranking.calibrate import Level
from matching_service.store.profiles import ProfileRow


def why_not(
    body: ExplainBody,
    profile: ProfileRow,
    against: Sequence[ConflictReason],
    *,
    rank: int | None,
    score: float | None,
    level: Level | None,
) -> list[WhyNot]:
    """Return every reason, or an empty list if the profile is among the first ``top_k``.

    against : reasons of the eligibility rules.
    rank : rank in the whole list, None if the profile is not on it.
    score, level : of the pair ranked alone, None if the profile is not in the index.
    """
    reasons = [WhyNot(code=reason.code, detail=reason.detail) for reason in against]
    reasons += [WhyNot(code=code, detail=ReasonAnswer(**text._asdict())) for code, text in _filtered(body, profile)]
    if not reasons:
        reasons = [
            WhyNot(code=code, detail=ReasonAnswer(**text._asdict()))
            for code, text in _ranked_too_low(body, rank=rank, score=score, level=level)
        ]
    return reasons


def _filtered(body: ExplainBody, profile: ProfileRow) -> list[tuple[str, Bilingual]]:
    """Return a reason for each filter of the request that rejects the profile."""
    region = profile.region or ""
    tests = (
        (
            bool(body.kinds) and profile.kind not in body.kinds,
            "other_kind",
            Bilingual(
                f"类别 {profile.kind} 不在请求的类别之内。", f"Its kind {profile.kind} is not among those requested."
            ),
        ),
        (
            bool(body.regions) and not region.startswith(tuple(body.regions)),
            "other_region",
            Bilingual(
                f"地区 {region or '未知'} 不在请求的地区之内。",
                f"Its region {region or 'unknown'} is not among those requested.",
            ),
        ),
        (
            bool(body.clusters) and set(body.clusters).isdisjoint(profile.clusters),
            "other_cluster",
            Bilingual("产业集群不在请求的集群之内。", "None of its industry clusters is among those requested."),
        ),
        (
            body.overseas is not None and profile.is_overseas != body.overseas,
            "other_origin",
            Bilingual("本次请求只要境外画像。", "This request asks for overseas profiles only.")
            if body.overseas
            else Bilingual("本次请求不要境外画像。", "This request asks for no overseas profiles."),
        ),
        (
            profile.id in body.exclude,
            "excluded_by_request",
            Bilingual("本次请求已将其排除（exclude）。", "This request excludes it (exclude)."),
        ),
    )
    return [(code, text) for is_rejected, code, text in tests if is_rejected]


def _ranked_too_low(
    body: ExplainBody, *, rank: int | None, score: float | None, level: Level | None
) -> list[tuple[str, Bilingual]]:
    if rank is not None and rank <= body.top_k:
        return []
    if rank is not None:
        return [
            (
                "below_top_k",
                Bilingual(
                    f"排在第 {rank} 位，本次只取前 {body.top_k} 位。",
                    f"It has rank {rank}, and only the first {body.top_k} were requested.",
                ),
            )
        ]
    if score is None:
        return [
            (
                "not_indexed",
                Bilingual("尚未进入索引，请稍后再试。", "It is not in the index yet; try again in a moment."),
            )
        ]
    if score <= 0:
        return [("nothing_in_common", Bilingual("没有发现与需求相符之处。", "Nothing was found that fits the demand."))]
    if level == "none" and not body.with_none:
        text = Bilingual(
            "匹配度为“无相关”，不列入名单（with_none 可一并列出）。",
            "Its level is none; `with_none` lists such profiles too.",
        )
        return [("level_none", text)]
    return [
        (
            "far_below",
            Bilingual(f"不在前 {MAX_TOP_K} 位之内。", f"It is not among the first {MAX_TOP_K}."),
        )
    ]
