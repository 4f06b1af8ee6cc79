"""Organizations that a file names by name: found, or made, with a word about names that are alike."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from unicodedata import normalize

from anyio import to_thread
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.files.findings import Finding, shown
from matching_service.files.headings import ORGANIZATION_NAME
from matching_service.foundation.errors import Bilingual
from matching_service.organizations.duplicates import like_names
from matching_service.organizations.queries import all_names
from matching_service.organizations.schemas import Kind, OrganizationCreate
from matching_service.organizations.service import upsert_organizations
from matching_service.store.lookup import in_parts, rows_by_external_id
from matching_service.store.organizations import OrganizationRow

MAX_COMPARED = 50
_LONGEST_NAME = 200
_FULL_WIDTH = str.maketrans("()", "（）")
_KINDS: Sequence[tuple[str, Kind]] = (("大学", "university"), ("学院", "university"), ("研究院", "institute"), ("研究所", "institute"), ("学会", "society"), ("协会", "society"))  # fmt: skip  # noqa: E501


@dataclass(slots=True)
class NamedOrganizations:
    """Ids by source and name, over a whole file, so that a name is looked up and made once."""

    ids: dict[tuple[str, str], str] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    n_compared: int = 0

    def take_made(self) -> list[str]:
        """Return the ids of the organizations that were made since this was asked last."""
        made, self.made = self.made, []
        return made

    async def resolve(  # noqa: C901
        self, session: AsyncSession, rows: Sequence[dict[str, Any]], actor: Principal
    ) -> tuple[list[Finding | None], list[Finding]]:
        """Put the id in the place of the name in each row. Returns per row what refuses it, and what is to be told.

        A row that also has the organization's own id, and whose organization exists, keeps that id.
        """
        refusals: list[Finding | None] = [None] * len(rows)
        wanted: dict[tuple[str, str], list[int]] = defaultdict(list)
        known = await _known_external_ids(session, rows)
        for place, row in enumerate(rows):
            name = row.pop(ORGANIZATION_NAME, None)
            if not isinstance(name, str) or not name.strip() or row.get("organization_id"):
                continue
            key = (_source(row), str(row.get("organization_external_id")))
            if key in known:
                continue
            if len(name) > _LONGEST_NAME:
                message = Bilingual(f"最多 {_LONGEST_NAME} 个字符。", f"At most {_LONGEST_NAME} characters.")
                refusals[place] = Finding("string_too_long", message, field=ORGANIZATION_NAME, value=shown(name))
                continue
            wanted[_source(row), name.strip()].append(place)
        new = [key for key in wanted if key not in self.ids]
        found = await _by_names(session, new)
        for key, ids in found.items():
            if len(ids) == 1:
                self.ids[key] = ids[0]
            else:
                message = Bilingual(
                    f"有 {len(ids)} 个机构叫这个名称，请填写机构编号。", f"{len(ids)} organizations have this name; give the id."  # noqa: E501
                )  # fmt: skip
                for place in wanted[key]:
                    refusals[place] = Finding(
                        "ambiguous_organization", message, field=ORGANIZATION_NAME, value=shown(key[1])
                    )
        told = await self._make(session, [key for key in new if key not in found], wanted, rows, actor)
        for key, places in wanted.items():
            for place in places:
                if key in self.ids:
                    rows[place].pop("organization_external_id", None)
                    rows[place]["organization_id"] = self.ids[key]
        return refusals, told

    async def _make(
        self,
        session: AsyncSession,
        keys: Sequence[tuple[str, str]],
        wanted: Mapping[tuple[str, str], Sequence[int]],
        rows: Sequence[Mapping[str, Any]],
        actor: Principal,
    ) -> list[Finding]:
        if not keys:
            return []
        told = await self._alike(session, [name for _, name in keys])
        bodies = [
            OrganizationCreate(
                source=source,
                external_id=next(
                    (i for p in wanted[source, name] if (i := rows[p].get("organization_external_id"))), None
                ),
                name=name,
                kind=next((kind for end, kind in _KINDS if name.endswith(end)), "enterprise"),
            )
            for source, name in keys
        ]
        for key, stored in zip(keys, await upsert_organizations(session, bodies, actor), strict=True):
            if stored.id is not None:
                self.ids[key] = stored.id
                if stored.status == "created":
                    self.made.append(stored.id)
        return told

    async def _alike(self, session: AsyncSession, names: Sequence[str]) -> list[Finding]:
        """Names that are like one that is known; beyond some the comparison is left to the list of duplicates."""
        told: list[Finding] = []
        compared = names[: max(0, MAX_COMPARED - self.n_compared)]
        self.n_compared += len(compared)
        present = [name for _, name in await all_names(session)] if compared else []
        for name in compared:
            like = await to_thread.run_sync(like_names, name, present)
            if like:
                others = "、".join(present[place] for place, _ in like[:3])
                message = Bilingual(
                    f"新建机构，名称与已有的 {others} 相近，可能是同一单位；请核对后合并。",
                    f"Made a new organization whose name is like {others}; merge them if they are one.",
                )
                told.append(
                    Finding("like_organization", message, refuses=False, field=ORGANIZATION_NAME, value=shown(name))
                )
            present.append(name)
        return told


def _source(row: Mapping[str, Any]) -> str:
    return str(row.get("source") or "default")


async def _known_external_ids(session: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> set[tuple[str, str]]:
    keys = [
        (_source(row), str(row["organization_external_id"]))
        for row in rows
        if row.get("organization_external_id") and row.get(ORGANIZATION_NAME)
    ]
    return set(await rows_by_external_id(session, OrganizationRow, keys)) if keys else set()


async def _by_names(session: AsyncSession, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    """Ids of the organizations of each name: those of the same source where there are any, else those of all."""
    spellings = {name: {name, plain, plain.translate(_FULL_WIDTH)} for _, name in keys for plain in [_plain(name)]}
    rows: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for part in in_parts(sorted({spelling for names in spellings.values() for spelling in names})):
        statement = (
            select(OrganizationRow.name, OrganizationRow.source, OrganizationRow.id)
            .where(OrganizationRow.name.in_(part), OrganizationRow.merged_into.is_(None))
            .order_by(OrganizationRow.id)
        )
        for name, source, row_id in await session.execute(statement):
            rows[name].append((source, row_id))
    found: dict[tuple[str, str], list[str]] = {}
    for source, name in keys:
        matching = [row for spelling in sorted(spellings[name]) for row in rows.get(spelling, ())]
        own = [row_id for its_source, row_id in matching if its_source == source]
        if matching:
            found[source, name] = own or [row_id for _, row_id in matching]
    return found


def _plain(name: str) -> str:
    return "".join(normalize("NFKC", name).split())
