"""A report as a typed value. Files are rendered from it: the path of a scalar is its placeholder, and a list of rows is
a table whose columns are the fields with a title (see ``content.py``).
"""

from datetime import date, datetime
from typing import Annotated

from pydantic import BaseModel, Field

PERCENT = "percent"
"""Marks a share (1.0 = 100 %, may exceed 1) that files show as a percentage."""
_Share = Annotated[float | None, PERCENT]


class ReportPeriod(BaseModel):
    name: str
    label: str
    first: date
    last: date
    until: date = Field(description="The last day counted.")
    is_complete: bool
    note: str = Field(description="A sentence that says the period is still running; empty once it is complete.")


class Counts(BaseModel):
    """Demands that first reached a stage within the period, whatever their state is now."""

    intake: int = Field(title="征集", description="Submitted.")
    published: int = Field(title="发布")
    matched: int = Field(title="对接", description="A supplier was contacted.")
    contracted: int = Field(title="签约")
    accepted: int = Field(title="验收")
    abandoned: int = Field(title="放弃")
    expired: int = Field(title="过期")
    funding_wan: float = Field(title="投入意向（万元）", description="Funding of the demands counted in intake.")
    contracted_wan: float = Field(title="合同金额（万元）")
    contracts_without_amount: int = Field(title="未填金额合同")


class _OfCluster(BaseModel):
    cluster: str | None
    label: str = Field(title="产业集群")


class _OfDistrict(BaseModel):
    region: str | None
    district: str = Field(title="地区")


class ClusterCounts(Counts, _OfCluster):
    pass


class DistrictCounts(Counts, _OfDistrict):
    pass


class StageRow(BaseModel):
    stage: str = Field(title="环节")
    n: int = Field(title="需求数")


class Waiting(BaseModel):
    """Days from publication to the first contact, over first contacts within the period."""

    n_contacted: int
    median_days: float | None
    p90_days: float | None = Field(description="90th percentile, interpolated as numpy does by default.")
    n_waiting: int = Field(description="Open demands without any contact at the end of the period.")
    longest_waiting_days: int | None


class Suggestions(BaseModel):
    n_suggested: int
    n_settled: int = Field(
        description="First settled within the period: accepted, declined, no answer or not suitable."
    )
    n_accepted: int
    rate: _Share = Field(description="Accepted, as a share of the settled.")


class RankRow(BaseModel):
    """Grouped by the profile's rank on the newest list that held it before it was suggested."""

    rank: str = Field(title="推荐名次")
    n_settled: int = Field(title="有结果")
    n_accepted: int = Field(title="接受")
    rate: _Share = Field(title="接受率")


class EndingRow(BaseModel):
    status: str
    label: str = Field(title="结果")
    reason: str | None
    reason_label: str = Field(title="原因")
    n: int = Field(title="需求数")


class KeywordRow(BaseModel):
    keyword: str = Field(title="关键词")
    n_enterprises: int = Field(title="企业数")
    n_demands: int = Field(title="需求数")
    clusters: str = Field(title="涉及产业集群")


class KindRow(BaseModel):
    kind: str
    label: str = Field(title="类别")
    n: int = Field(title="次数")


class SupplyRow(BaseModel):
    """Profiles that existed at the end of the period and still exist. Profiles deleted since are not counted."""

    kind: str
    label: str = Field(title="类别")
    n: int = Field(title="总数")
    n_added: int = Field(title="本期新增")
    n_academicians: int = Field(title="其中院士", description="Profiles with an academician's honour (院士).")
    n_overseas: int = Field(title="其中海智", description="Profiles with a country other than CN.")
    n_works: int = Field(title="论文专利项目")


class ProgrammeRow(BaseModel):
    kind: str
    label: str = Field(title="类别")
    begun: int = Field(title="本期新增")
    standing: int = Field(title="期末在册")


class Claims(BaseModel):
    n_offered: int
    n_demands: int


class Matching(BaseModel):
    n_runs: int
    n_demands: int = Field(description="Demands with at least one list.")


class Projects(BaseModel):
    n_under_way: int = Field(description="Contracted or in progress at the end of the period.")
    milestones_due: int = Field(description="Milestones due within the period.")
    milestones_done: int = Field(description="Of these, done by the end of the period.")
    milestones_overdue: int = Field(description="Overdue at the end of the period, in all projects under way.")


class _Compared(BaseModel):
    plan: int | None = Field(title="计划")
    actual: int = Field(title="实绩")
    share: _Share = Field(title="完成率")


class _WholeTarget(BaseModel):
    name: str
    label: str = Field(title="目标")


class _TargetPart(BaseModel):
    name: str
    target: str = Field(title="目标")


class TargetRow(_Compared, _WholeTarget):
    pass


class TargetDistrictRow(_Compared, _OfDistrict, _TargetPart):
    pass


class TargetClusterRow(_Compared, _OfCluster, _TargetPart):
    pass


class Report(BaseModel):
    """All figures of one period, each computed from records."""

    period: ReportPeriod
    made_at: datetime
    totals: Counts
    waiting: Waiting
    suggestions: Suggestions
    claims: Claims
    matching: Matching
    projects: Projects
    funnel: list[StageRow]
    by_cluster: list[ClusterCounts]
    by_district: list[DistrictCounts]
    acceptance_by_rank: list[RankRow]
    endings: list[EndingRow] = Field(
        description="Abandoned demands, terminated contracts and failed projects, by reason."
    )
    common_keywords: list[KeywordRow] = Field(
        description="Keywords shared by demands of several enterprises: hints at common problems, not judged by anyone."
    )
    engagements: list[KindRow]
    supply: list[SupplyRow]
    programme: list[ProgrammeRow]
    targets: list[TargetRow]
    targets_by_district: list[TargetDistrictRow]
    targets_by_cluster: list[TargetClusterRow]
