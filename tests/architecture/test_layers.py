"""The house's few structural rules, read from the source with ``ast``; nothing is imported or run."""

import ast
from pathlib import Path

import pytest

import matching_service

PACKAGE = "matching_service"
SOURCE = Path(matching_service.__file__).parent

PURE = {"text", "index", "ranking", "evaluation"}
RECORDS = {"store", "audit", "access", "api"}
ROOMS = {"organizations", "demands", "profiles", "engagements", "projects", "programme"}
MEETING = {"eligibility", "live_index", "shortlists", "matching", "runs"}
"""Where the two wings meet, from the lowest to the highest: each may import those before it."""
BELOW_JOBS = (
    {
        "foundation",
        "sample",
        "suggestions",
        "board",
        "claims",
        "reports",
        "encoders",
        "files",
        "codes",
        "disclosure",
        "webhooks",
        "feeds",
    }
    | PURE
    | RECORDS
    | ROOMS
    | MEETING
)
ROOF = {"engines", "app", "cli", "__main__"}

MAY_IMPORT = {
    "foundation": set(),
    "sample": set(),  # data, no code
    # the pure wing: arrays in, arrays out
    "text": {"foundation"},
    "index": {"foundation", "text"},
    "ranking": {"foundation", "text", "index"},
    "evaluation": {"foundation", "text", "index", "ranking"},
    "encoders": {"foundation", "index", "ranking"},  # models on other machines: the one impure room below
    # the records wing and the doors that all routes share
    "store": {"foundation"},
    "audit": {"foundation", "store"},
    "access": {"foundation", "store", "audit"},
    "api": {"foundation", "text", "store", "audit", "access"},  # text: lists are searched as the board is
    # rooms
    "organizations": {"foundation", "text"} | RECORDS,  # text: names are folded before they are compared
    "demands": {"foundation"} | RECORDS,
    "profiles": {"foundation"} | RECORDS,
    "engagements": {"foundation"} | RECORDS,
    "projects": {"foundation"} | RECORDS,
    "programme": {"foundation"} | RECORDS,
    "eligibility": {"foundation"} | PURE | RECORDS | ROOMS,
    "live_index": {"foundation"} | PURE | RECORDS | ROOMS,
    "shortlists": {"foundation", "eligibility", "live_index"} | PURE | RECORDS | ROOMS,
    "matching": {"foundation", "eligibility", "live_index", "shortlists"} | PURE | RECORDS | ROOMS,
    "runs": {"foundation", "eligibility", "live_index", "shortlists", "matching"} | PURE | RECORDS | ROOMS,
    "suggestions": {"foundation", "eligibility"} | RECORDS | ROOMS,
    "board": {"foundation", "text"} | RECORDS | ROOMS,
    "claims": {"foundation", "eligibility"} | RECORDS | ROOMS,
    "reports": {"foundation", "text", "shortlists"} | RECORDS | ROOMS,
    # in and out
    "files": {"foundation", "eligibility", "shortlists", "text"} | RECORDS | ROOMS,  # text: headings are simplified
    "codes": {"foundation"} | RECORDS | ROOMS,
    "disclosure": {"foundation", "eligibility", "shortlists"} | RECORDS | ROOMS,
    "webhooks": {"foundation", "disclosure", "suggestions"} | RECORDS | ROOMS,
    "feeds": {"foundation", "disclosure"} | RECORDS | ROOMS,
    # what a clock or an operator starts
    "quality": {"foundation", "files", "live_index", "matching"} | PURE | RECORDS | ROOMS,
    "jobs": BELOW_JOBS | {"quality"},
    # the roof
    "engines": {"foundation", "index", "encoders", "store", "matching"},  # index: the form is chosen here
    "app": BELOW_JOBS | {"jobs", "engines"},
    "cli": BELOW_JOBS | {"quality", "jobs", "engines", "app"},
    "__main__": {"app", "cli"},
}
"""What each package or top module may import of the others. A new one gets a line here before it gets a user."""

FORBIDDEN_IN_THE_PURE_WING = {
    "sqlalchemy",
    "alembic",
    "fastapi",
    "starlette",
    "pydantic",
    "pydantic_settings",
    "uvicorn",
    "httpx",
}


def modules():
    """Every source file by its module name within the package, parsed."""
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        yield name, ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(tree, *, module, is_package=False):
    """Full names of what a module imports, wherever in the file the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = f"{PACKAGE}.{module}".rstrip(".").split(".")
                parent = here[: len(here) - node.level + is_package]
                base = ".".join([*parent, *([base] if base else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def room_of(name):
    """The package or top module that a full name belongs to; empty for names of the package itself."""
    parts = name.split(".")
    is_ours = len(parts) > 1 and ((SOURCE / parts[1]).is_dir() or (SOURCE / f"{parts[1]}.py").is_file())
    return parts[1] if is_ours else ""


MODULES = dict(modules())
IMPORTS = {
    name: sorted(set(imports(tree, module=name, is_package=(SOURCE / Path(*name.split("."))).is_dir())))
    for name, tree in MODULES.items()
}


def uses(name):
    """Pairs of what a module imports of ours: the full name and its room."""
    return [(other, room_of(other)) for other in IMPORTS[name] if other.split(".")[0] == PACKAGE]


def test_the_source_is_read():
    assert len(MODULES) > 50
    assert "index.snapshot" in MODULES
    assert ("matching_service.index.segment.Segment", "index") in uses("index.snapshot")


def test_every_package_has_its_place():
    rooms = {name.split(".")[0] for name in MODULES} - {""}
    assert rooms - MAY_IMPORT.keys() == set()


def test_the_places_themselves_have_no_cycle():
    order = list(MAY_IMPORT)
    assert all(order.index(below) < order.index(room) for room, allowed in MAY_IMPORT.items() for below in allowed)


def test_imports_go_down():
    wrong = [
        f"{name} imports {other}"
        for name in MODULES
        for other, room in uses(name)
        if name and room not in {"", name.split(".")[0]} | MAY_IMPORT[name.split(".")[0]]
    ]
    assert wrong == []


def test_rooms_do_not_import_one_another():
    assert all(MAY_IMPORT[room].isdisjoint(ROOMS | MEETING | {"files", "jobs"} | ROOF) for room in ROOMS)


def test_webhooks_and_feeds_are_imported_from_above_alone():
    importers = {name.split(".")[0] for name in MODULES for _, room in uses(name) if room in {"webhooks", "feeds"}}
    assert importers - {"webhooks", "feeds"} <= ROOF | {"jobs"}


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("ranking.ranker", {"contract", "filters"}),
        ("ranking.topics", {"contract", "filters"}),
        ("ranking", {"contract", "filters", "frequencies", "postings", "rounding"}),
        ("index.filters", set()),
    ],
)
def test_ranking_knows_the_contract_of_the_index_and_no_form_of_it(module, allowed):
    """``frequencies``, ``postings`` and ``rounding`` are read as values, and for keys and rounding; they hold no index."""
    names = [name for name in MODULES if name == module or name.startswith(f"{module}.")]
    assert names
    used = {other.split(".")[2] for name in names for other, room in uses(name) if room == "index"}
    assert used <= allowed


def test_a_form_of_the_index_is_chosen_in_one_place():
    """Evaluation builds an index of its own, and ``doctor`` reads the files of the form in use."""
    importers = {name for name in MODULES for other, room in uses(name) if room == "index" and "snapshot" in other}
    assert {name for name in importers if not name.startswith("index")} == {
        "engines",
        "quality.evaluation",
        "jobs.doctor",
    }


def test_only_the_roof_imports_the_roof():
    importers = {name.split(".")[0] for name in MODULES for _, room in uses(name) if room in ROOF}
    assert importers <= ROOF


@pytest.mark.parametrize("room", sorted(PURE))
def test_the_pure_wing_touches_no_database_and_no_http(room):
    """Nor does anything that it imports, however far."""
    reached, waiting = set(), [name for name in MODULES if name.split(".")[0] == room]
    assert waiting
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        foreign = {other.split(".")[0] for other in IMPORTS[name]}
        assert foreign.isdisjoint(FORBIDDEN_IN_THE_PURE_WING), f"{name} is used by {room}"
        for other, _ in uses(name):
            parts = other.split(".")[1:]
            waiting += [module for n in range(1, len(parts) + 1) if (module := ".".join(parts[:n])) in MODULES]
    assert {name.split(".")[0] for name in reached} <= {room, "foundation"} | PURE


def attributes(tree, name):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == name]


def test_only_the_database_module_commits():
    commits = {name: len(attributes(tree, "commit")) for name, tree in MODULES.items() if attributes(tree, "commit")}
    assert set(commits) == {"store.database"}


def test_http_exceptions_are_handled_in_one_place_and_raised_nowhere():
    def mentions(tree):
        named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        named |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        named |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        return "HTTPException" in named

    def raised(tree):
        raises = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc is not None]
        return any(mentions(raised) for raised in raises)

    assert {name for name, tree in MODULES.items() if mentions(tree)} <= {"api.problems"}
    assert not any(raised(tree) for tree in MODULES.values())


@pytest.mark.parametrize(
    ("source", "module", "is_package", "expected"),
    [
        ("import matching_service.store.base as b", "text.terms", False, ["matching_service.store.base"]),
        ("from matching_service import api", "text.terms", False, ["matching_service.api"]),
        (
            "from matching_service.api import deps, pages",
            "x",
            False,
            ["matching_service.api.deps", "matching_service.api.pages"],
        ),
        ("from . import base", "store.audit", False, ["matching_service.store.base"]),
        ("from ..api.deps import X", "store.audit", False, ["matching_service.api.deps.X"]),
        ("from .base import X", "store", True, ["matching_service.store.base.X"]),
        ("def f():\n    import sqlalchemy.orm", "text.terms", False, ["sqlalchemy.orm"]),
        ("if TYPE_CHECKING:\n    from fastapi import FastAPI", "text.terms", False, ["fastapi.FastAPI"]),
    ],
)
def test_every_form_of_import_is_seen(source, module, is_package, expected):
    assert list(imports(ast.parse(source), module=module, is_package=is_package)) == expected
