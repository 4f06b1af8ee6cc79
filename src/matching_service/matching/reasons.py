"""Why a profile is not on a list. Pure."""

from collections.abc import Sequence

from matching_service.eligibility.schemas import ConflictReason, ReasonAnswer
from matching_service.foundation.errors import Text
from matching_service.matching.schemas import MAX_TOP_K, ExplainBody, WhyNot
from matching_service.store.profiles import ProfileRow


def why_not(
    body: ExplainBody, profile: ProfileRow, against: Sequence[ConflictReason], *, rank: int | None, score: float | None
) -> list[WhyNot]:
    """Every reason; empty when the profile is among the first ``top_k``.

    rank : its place in the whole list, or None. score : that of the pair alone, None when it is not in the index.
    """
    found = [WhyNot(code=reason.code, detail=reason.detail) for reason in against]
    found += [WhyNot(code=code, detail=ReasonAnswer(**text._asdict())) for code, text in _filtered(body, profile)]
    if not found:
        found = [
            WhyNot(code=code, detail=ReasonAnswer(**text._asdict()))
            for code, text in _ranked_too_low(body, rank=rank, score=score)
        ]
    return found


def _filtered(body: ExplainBody, profile: ProfileRow) -> list[tuple[str, Text]]:
    """What the request itself leaves out."""
    region = profile.region or ""
    tests = (
        (
            bool(body.kinds) and profile.kind not in body.kinds,
            "other_kind",
            Text(f"类别 {profile.kind} 不在所要的类别中。", f"Its kind {profile.kind} was not asked for."),
        ),
        (
            bool(body.regions) and not region.startswith(tuple(body.regions)),
            "other_region",
            Text(f"地区 {region or '未知'} 不在所要的地区中。", f"Its region {region or 'unknown'} was not asked for."),
        ),
        (
            bool(body.clusters) and set(body.clusters).isdisjoint(profile.clusters),
            "other_cluster",
            Text("产业集群不在所要的集群中。", "Its industry clusters were not asked for."),
        ),
        (
            profile.id in body.exclude,
            "excluded_by_request",
            Text("本次请求排除了它（exclude）。", "This request excludes it (exclude)."),
        ),
    )
    return [(code, text) for is_so, code, text in tests if is_so]


def _ranked_too_low(body: ExplainBody, *, rank: int | None, score: float | None) -> list[tuple[str, Text]]:
    if rank is not None and rank <= body.top_k:
        return []
    if rank is not None:
        return [
            (
                "below_top_k",
                Text(
                    f"排在第 {rank} 位，本次只取前 {body.top_k} 位。", f"Ranks {rank}, and {body.top_k} were asked for."
                ),
            )
        ]
    if score is None:
        return [
            ("not_indexed", Text("尚未进入索引，请稍后再试。", "It is not in the index yet; try again in a moment."))
        ]
    if score <= 0:
        return [("nothing_in_common", Text("没有发现与需求相符之处。", "Nothing was found that fits the demand."))]
    return [
        (
            "far_below",
            Text(f"不在前 {MAX_TOP_K} 位之内。", f"It is not among the first {MAX_TOP_K}."),
        )
    ]
