"""A small city with a known history, so that its figures can be counted by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.clock import start_of
from matching_service.store.claims import ClaimRow
from matching_service.store.demands import DemandRow, DemandTransitionRow
from matching_service.store.engagements import EngagementRow
from matching_service.store.organizations import OrganizationRow
from matching_service.store.profiles import ProfileRow, WorkRow
from matching_service.store.programme import ProgrammeRecordRow
from matching_service.store.projects import MilestoneRow, ProjectRow
from matching_service.store.shortlists import MatchListRow, MatchRow, MatchRunRow
from matching_service.store.suggestions import SuggestionRow, SuggestionTransitionRow


def noon(day: date) -> datetime:
    return start_of(day) + timedelta(hours=12)


@dataclass
class History:
    """Writes rows with the timestamps of the given days."""

    session: AsyncSession
    organizations: list[str] = field(default_factory=list)
    profiles: list[str] = field(default_factory=list)

    async def _add(self, row: Any) -> str:
        self.session.add(row)
        await self.session.flush()
        made: str = row.id
        return made

    async def organization(self, **fields: Any) -> str:
        n = len(self.organizations)
        row = OrganizationRow(source="t", **{"name": f"第{n}厂", "kind": "enterprise"} | fields)
        self.organizations.append(await self._add(row))
        return self.organizations[-1]

    async def profile(self, on: date, *, kind: str = "expert", n_works: int = 0, **fields: Any) -> str:
        lists: Any = {"keywords": [], "fields": [], "honours": [], "clusters": []}
        least = {"source": "t", "name": "专家", "country": "CN", "language": "zh", "visibility": "public"}
        row = ProfileRow(kind=kind, created_at=noon(on), **least | lists | fields)
        self.profiles.append(await self._add(row))
        self.session.add_all(
            [WorkRow(profile_id=row.id, position=n, kind="paper", title="论文") for n in range(n_works)]
        )
        return self.profiles[-1]

    async def demand(self, *steps: tuple[str, date] | tuple[str, date, str], **fields: Any) -> str:
        """Add a demand with its transitions: (state, day), or (state, day, reason) for an ending."""
        lists: Any = {"keywords": [], "must_have": [], "nice_to_have": [], "wanted_partners": []}
        row = DemandRow(source="t", title="某需求", status=steps[-1][0], visibility="public", **lists | fields)
        demand_id = await self._add(row)
        before = None
        for status, day, *reason in steps:
            step = DemandTransitionRow(
                demand_id=demand_id, from_status=before, to_status=status, at=noon(day), actor_id="cli",
                reason=reason[0] if reason else None,
            )  # fmt: skip
            await self._add(step)
            before = status
        return demand_id

    async def engagement(self, held_on: date, kind: str = "visit", **fields: Any) -> str:
        return await self._add(EngagementRow(kind=kind, held_on=held_on, staff="李", people=[], **fields))

    async def listing(self, demand_id: str, on: date, profiles: Sequence[str], *, state: str = "finished") -> None:
        """Add a run with one stored list of the profiles in this order."""
        run = MatchRunRow(
            scope="open", state=state, created_at=noon(on), finished_at=noon(on), top_k=20, events_as_of=0,
            index_version="v", index_as_of=0, index_profiles=0, lexicon_version="v", encoder_version="v",
            weights_version="v",
        )  # fmt: skip
        run_id = await self._add(run)
        as_of = {"events_as_of": 0, "index_as_of": 0, "ranked_on": on}
        match_list = MatchListRow(run_id=run_id, demand_id=demand_id, state="done", **as_of)
        list_id = await self._add(match_list)
        for rank, profile_id in enumerate(profiles, start=1):
            await self._add(
                MatchRow(list_id=list_id, profile_id=profile_id, rank=rank, score=0.5, level="related", explanation={})
            )

    async def suggestion(self, demand_id: str, profile_id: str, *steps: tuple[str, date]) -> None:
        suggestion_id = await self._add(
            SuggestionRow(demand_id=demand_id, profile_id=profile_id, status=steps[-1][0], created_at=noon(steps[0][1]))
        )
        before = None
        for status, day in steps:
            await self._add(
                SuggestionTransitionRow(
                    suggestion_id=suggestion_id, from_status=before, to_status=status, at=noon(day), actor_id="cli"
                )
            )
            before = status

    async def claim(self, demand_id: str, on: date) -> None:
        await self._add(ClaimRow(demand_id=demand_id, status="offered", offer="x", attachments=[], created_at=noon(on)))

    async def project(self, demand_id: str, amount_wan: float | None, *milestones: tuple[date, date | None]) -> None:
        project_id = await self._add(
            ProjectRow(demand_id=demand_id, contract_number="FS-1", contract_amount_wan=amount_wan)
        )
        for due_on, done_on in milestones:
            await self._add(MilestoneRow(project_id=project_id, title="样机", due_on=due_on, done_on=done_on))

    async def record(self, kind: str, started_on: date, **fields: Any) -> None:
        await self._add(ProgrammeRecordRow(source="t", kind=kind, started_on=started_on, **{"title": "某事"} | fields))


def day(text: str) -> date:
    return date.fromisoformat(f"2026-{text}")


async def write_third_quarter(session: AsyncSession) -> None:
    """Write events before, in and after the third quarter of 2026."""
    city = History(session)
    nanhai = await city.organization(region="440605", cluster="新材料")
    shunde = await city.organization(region="440606", cluster="泛家居")
    nowhere = await city.organization()
    honours: list[list[str]] = [[], [], ["中国工程院院士"], ["国务院特殊津贴"]]
    experts = [
        await city.profile(day("07-01") if n else day("01-05"), n_works=n, honours=named)
        for n, named in enumerate(honours)
    ]
    await city.profile(day("10-02"))  # not in the quarter yet
    await city.profile(day("02-02"), kind="team", country="DE")
    await city.profile(day("02-02"), kind="team", visibility="hidden")

    # submitted, published and contacted within the quarter, 4 days after publication; the earlier engagement is ignored
    first = await city.demand(
        ("draft", day("06-20")), ("submitted", day("07-01")), ("returned", day("07-02")), ("submitted", day("07-03")),
        ("reviewed", day("07-04")), ("published", day("07-06")), ("matching", day("07-10")),
        organization_id=nanhai, funding_wan=80, keywords=["液压", "ＡＧＶ"],
    )  # fmt: skip
    await city.engagement(day("07-05"), demand_id=first)
    await city.engagement(day("07-10"), "contact", demand_id=first)
    # submitted before; published, contacted after 10 days through a suggestion, contracted and begun within the quarter
    second = await city.demand(
        ("draft", day("05-01")), ("submitted", day("05-02")), ("reviewed", day("06-01")), ("published", day("07-01")),
        ("matching", day("07-11")), ("contracted", day("08-01")), ("in_progress", day("08-05")),
        ("accepted", day("10-10")), organization_id=shunde, region="440607", funding_wan=60.5, keywords=["液压"],
    )  # fmt: skip
    await city.project(second, 55.25, (day("07-31"), day("08-02")), (day("09-15"), day("10-05")), (day("12-01"), None))
    # imported: enters as published, skips to contracted, and its contract has no amount
    third = await city.demand(
        ("published", day("08-15")), ("contracted", day("09-30")),
        organization_id=nowhere, cluster="新材料", keywords=["agv", "AGV", "激光"],
    )  # fmt: skip
    await city.project(third, None)
    # published before, claimed within the quarter after 30 days, abandoned on its last day
    fourth = await city.demand(
        ("submitted", day("05-01")), ("published", day("06-15")), ("matching", day("07-20")),
        ("abandoned", day("09-30"), "no_supplier"), organization_id=nanhai,
    )  # fmt: skip
    await city.claim(fourth, day("07-15"))
    await city.claim(fourth, day("07-16"))
    # open and not contacted at the end of the quarter, contacted afterwards
    fifth = await city.demand(("submitted", day("08-30")), ("published", day("09-10")), funding_wan=20)
    await city.engagement(day("10-01"), demand_id=fifth)
    # after the quarter
    await city.demand(("submitted", day("10-01")), ("published", day("10-02")), organization_id=nanhai)
    # ended without a contact
    await city.demand(("published", day("06-01")), ("expired", day("07-02")))

    # a suggestion takes its rank from the newest finished list before it
    await city.listing(first, day("07-06"), [experts[1], experts[0]])
    await city.listing(first, day("07-07"), [experts[0], experts[1], experts[2]])
    await city.listing(first, day("07-08"), [experts[2]], state="cancelled")
    await city.listing(first, day("09-01"), [experts[2], experts[1], experts[0]])
    await city.suggestion(first, experts[0], ("suggested", day("07-09")), ("contacted", day("07-12")),
                          ("accepted", day("07-13")), ("met", day("07-20")), ("declined", day("09-02")))  # fmt: skip
    await city.suggestion(first, experts[1], ("suggested", day("07-09")), ("contacted", day("07-12")),
                          ("no_answer", day("08-01")), ("contacted", day("10-01")), ("accepted", day("10-02")))  # fmt: skip
    await city.suggestion(second, experts[3], ("suggested", day("06-30")), ("contacted", day("07-11")),
                          ("accepted", day("07-30")))  # fmt: skip
    await city.suggestion(second, experts[2], ("suggested", day("09-01")), ("contacted", day("10-01")))

    await city.record("workstation", day("09-30"), organization_id=nanhai)
    await city.record("support", day("03-01"), ended_on=day("08-31"), organization_id=shunde)
    await city.record("support", day("10-01"))
