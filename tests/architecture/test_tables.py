"""Which room may write and which may read the rows of each table, read from the source with ``ast``.

All tables lie in ``store``, so an import alone says little. A new user of a table gets a line here, with a reason where
it writes rows of another room.

A write is a call of the row's class, an ``insert``, ``update`` or ``delete`` of it, one of store's functions for bulks,
or an assignment to an attribute of a variable that is known to hold such a row: by its annotation, or because the function
that gave it is annotated so. Writes in other forms are seen when they run: ``table_rights`` watches the whole suite.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from table_rights import BROKEN, MAY_WRITE, MOVED_WITH_ORGANIZATIONS

import matching_service
from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.schemas import DemandCreate
from matching_service.demands.service import create_demand
from matching_service.foundation.errors import Conflict
from matching_service.store.database import Database

SOURCE = Path(matching_service.__file__).parent
BULK = {"insert", "update", "delete", "new_row", "write_rows", "delete_rows", "append", "merge"}

MAY_READ = {
    "ClaimRow": {"engagements", "reports"},
    "PrincipalRow": {"audit"},
    "DeadlineNoticeRow": {"demands"},
    "DecisionRow": {"disclosure", "eligibility", "files", "runs"},
    "DeliveryRow": {"jobs"},
    "DemandRow": {
        "board", "claims", "disclosure", "eligibility", "engagements", "feeds", "files", "jobs", "live_index", "matching",
        "organizations", "programme", "projects", "quality", "reports", "runs", "shortlists", "suggestions",
    },
    "DemandTransitionRow": {"matching", "projects"},
    "EngagementRow": {"programme", "reports"},
    "ExclusionRow": {"eligibility"},
    "MatchListRow": {"disclosure", "jobs", "reports", "webhooks"},
    "MatchRow": {"disclosure", "reports", "runs", "webhooks"},
    "MatchRunRow": {"api", "jobs", "reports"},
    "ImportedRecordRow": {"cli"},
    "MilestoneRow": {"files", "reports"},
    "OrganizationRow": {
        "access", "claims", "demands", "disclosure", "eligibility", "feeds", "files", "live_index", "matching", "profiles",
        "programme", "reports", "shortlists",
    },
    "OutboxRow": {"api", "disclosure", "feeds", "runs", "shortlists", "webhooks"},
    "ProfileRow": {
        "api", "claims", "disclosure", "eligibility", "engagements", "feeds", "files", "live_index", "matching", "organizations",
        "programme", "projects", "reports", "runs", "shortlists", "suggestions",
    },
    "ProgrammeRecordRow": {"files", "reports"},
    "ProjectPartnerRow": {"files"},
    "ProjectRow": {"files", "reports"},  # files: an import is undone while the project is only the row that it made
    "SuggestionRow": {"eligibility", "engagements", "files", "programme", "reports", "runs", "shortlists"},
    "SuggestionTransitionRow": {"eligibility", "engagements", "programme", "reports"},
    "WebhookStateRow": {"jobs"},
    "WorkRow": {"live_index", "reports"},
}  # fmt: skip
"""Beside those that write it."""


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if room != "store":
            yield room, ast.parse(path.read_text(encoding="utf-8"))


def _tables() -> set[str]:
    classes = (
        node.name
        for path in (SOURCE / "store").glob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    )
    return {name for name in classes if name.endswith("Row")}


def _named(node: ast.AST | None, tables: set[str]) -> set[str]:
    """Tables that an annotation or expression names, also within quotes."""
    names: set[str] = set()
    for part in ast.walk(node) if node is not None else ():
        if isinstance(part, ast.Name):
            names.add(part.id)
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            names |= {name for name in tables if name in part.value}
    return names & tables


def _called(node: ast.AST) -> str:
    function = node.func if isinstance(node, ast.Call) else None
    return getattr(function, "id", getattr(function, "attr", ""))


def _results(tables: set[str]) -> dict[str, str]:
    """By function name the one table whose row it returns, by its annotation."""
    results = {}
    for _, tree in _modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                named = _named(node.returns, tables)
                if len(named) == 1 and isinstance(node.returns, ast.Name | ast.BinOp | ast.Constant):
                    (results[node.name],) = named
    return results


def _table_of(value: ast.expr | None, holders: dict[str, str], tables: set[str], results: dict[str, str]) -> str | None:
    """The table whose rows an expression gives: a row, a function's result, ``select(Row)``, or what comes of these."""
    while isinstance(value, ast.Await):
        value = value.value
    if isinstance(value, ast.Name):
        return holders.get(value.id)
    if isinstance(value, ast.Call):
        called = _called(value)
        if called in tables | results.keys():
            return called if called in tables else results[called]
        parts = value.args if called in {"select", "scalars", "scalar", "execute", "list", "sorted", "zip"} else []
        method_of = [value.func.value] if isinstance(value.func, ast.Attribute) else []
        found = (_table_of(part, holders, tables, results) or getattr(part, "id", "") for part in [*parts, *method_of])
        return next((table for table in found if table in tables), None)
    return None


def _holders(
    function: ast.FunctionDef | ast.AsyncFunctionDef, tables: set[str], results: dict[str, str]
) -> dict[str, str]:
    """Variables of a function that hold rows of a table, or the query for them, by name."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    holders = {arg.arg: table for arg in arguments for table in _named(arg.annotation, tables)}
    for node in ast.walk(function):  # in the order of the source, near enough
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            table = _table_of(node.value, holders, tables, results)
            if isinstance(node, ast.AnnAssign) and (named := _named(node.annotation, tables)):
                table = min(named)
        elif isinstance(node, ast.For | ast.AsyncFor):
            target, table = node.target, _table_of(node.iter, holders, tables, results)
        else:
            continue
        if isinstance(target, ast.Name) and table:
            holders[target.id] = table
    return holders


def _written(tree: ast.Module, tables: set[str], results: dict[str, str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if _called(node) in tables:
                yield _called(node)
            if _called(node) in BULK:
                yield from (
                    argument.id for argument in node.args if isinstance(argument, ast.Name) and argument.id in tables
                )
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            holders = _holders(node, tables, results)
            for part in ast.walk(node):
                targets = part.targets if isinstance(part, ast.Assign) else [getattr(part, "target", None)]
                flat = [
                    one for target in targets for one in (target.elts if isinstance(target, ast.Tuple) else [target])
                ]
                for target in flat:
                    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                        yield from {holders[target.value.id]} if target.value.id in holders else ()


def _uses() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Per table the rooms that write it, and those that only read it."""
    tables = _tables()
    results = _results(tables)
    writers, readers = defaultdict(set), defaultdict(set)
    for room, tree in _modules():
        written = set(_written(tree, tables, results))
        for table in written:
            writers[table].add(room)
        for table in _named(tree, tables):
            readers[table].add(room)
    return dict(writers), {table: rooms - writers[table] for table, rooms in readers.items() if rooms - writers[table]}


def test_only_the_rooms_of_the_table_write_it():
    writers, _ = _uses()
    assert {table: rooms - MAY_WRITE[table] for table, rooms in writers.items() if rooms - MAY_WRITE[table]} == {}


def test_only_the_rooms_that_are_named_read_it():
    _, readers = _uses()
    allowed = {table: MAY_READ.get(table, set()) | MAY_WRITE[table] for table in MAY_WRITE}
    assert {table: rooms - allowed[table] for table, rooms in readers.items() if rooms - allowed[table]} == {}


def test_every_table_is_named_and_nothing_is_allowed_that_nobody_does():
    writers, readers = _uses()
    assert MAY_WRITE.keys() == _tables()
    seen_writing = {table: rooms & writers.get(table, set()) for table, rooms in MAY_WRITE.items()}
    seen_when_run: dict[str, set[str]] = {
        "WorkRow": {"profiles"},  # by the relationship
        **{table: {"organizations"} for table in MOVED_WITH_ORGANIZATIONS},
    }
    seen_when_run["ProgrammeRecordRow"] |= {"programme"}  # by bulks of a table variable
    seen_when_run["ImportedRecordRow"] = {"demands", "organizations", "profiles", "programme"}  # by the store
    seen_when_run["DemandRow"] |= {"feeds"}  # where a record comes from: ``origin``
    seen_when_run["ProfileRow"] |= {"feeds"}
    for table, rooms in seen_when_run.items():
        seen_writing[table] |= rooms
    assert seen_writing == MAY_WRITE
    assert {
        table: rooms - readers.get(table, set())
        for table, rooms in MAY_READ.items()
        if rooms - readers.get(table, set())
    } == {}


def test_writes_are_seen_in_every_form():
    source = """
async def a(session, row: "DemandRow | None"):
    row.title = "x"
async def b(session):
    demand = await get_demand(session)
    demand.title, demand.problem = "x", "y"
def c(session):
    session.add(ProfileRow(id="x"))
async def d(session):
    await session.execute(update(WorkRow).values(title="x"))
async def e(session):
    offered = select(MilestoneRow).order_by(MilestoneRow.id)
    rows = (await session.scalars(offered.with_for_update())).all()
    for row in rows:
        row.done_on = None
async def f(session, row: ClaimRow):
    return [other.status for other in await session.scalars(select(ClaimRow))]
"""
    tables = {"DemandRow", "ProfileRow", "WorkRow", "ClaimRow", "MilestoneRow"}
    assert set(_written(ast.parse(source), tables, {"get_demand": "DemandRow"})) == tables - {"ClaimRow"}


EVASIONS = {
    "a row by its key": "(await session.get(DemandRow, id_)).title = 'x'",
    "rows from a function": "rows = await get_by_ids(session, DemandRow, [id_])\n    rows[id_].title = 'x'",
    "setattr": "setattr(await session.get(DemandRow, id_), 'title', 'x')",
    "a function of the store": "assign(await session.get(DemandRow, id_), {'title': 'x'})",
    "delete": "await session.delete(await session.get(DemandRow, id_))",
    "enumerate": "for _, row in enumerate(await session.scalars(select(DemandRow))):\n        row.title = 'x'",
    "an alias": "T = DemandRow\n    session.add(T(id='e', title='x'))",
    "a table without its class": "await session.execute(DemandRow.__table__.update().values(title='x'))",
    "a connection": "await (await session.connection()).execute(update(DemandRow).values(title='x'))",
    "many rows": "await session.execute(insert(DemandRow), [{'id': 'e', 'title': 'x'}])",
}
_ROOM = """
from sqlalchemy import insert, select, update
from matching_service.store.base import assign
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_by_ids
async def write(session, id_):
    {write}
"""


@pytest.mark.parametrize("write", EVASIONS.values(), ids=EVASIONS)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_write_of_another_room_is_seen_when_it_runs(database: Database, write: str):
    for room, expected in (("demands", set[tuple[str, str]]()), ("board", {("board", "DemandRow")})):
        names: dict[str, Any] = {"__name__": f"matching_service.{room}.invented"}
        exec(compile(_ROOM.format(write=write), "<invented>", "exec"), names)
        with suppress(IntegrityError, Conflict):  # what is written need not be whole
            async with database.transaction() as session:
                demand = await create_demand(session, DemandCreate(title="柔轮开裂"), COMMAND_LINE)
                await names["write"](session, demand.id)
                await session.rollback()
        seen, BROKEN[:] = set(BROKEN), []
        assert seen == expected
