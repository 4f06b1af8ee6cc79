"""Uploaded files and former values hold personal data: they go when nobody needs them any longer."""

from pathlib import Path

import httpx
import pytest
from conftest import Clock
from fastapi import FastAPI
from sqlalchemy import func, select

from matching_service.files.background import BackgroundImports
from matching_service.files.imports import LOCK
from matching_service.files.pruning import prune_imports
from matching_service.foundation.clock import new_id, now
from matching_service.store.database import Database
from matching_service.store.imports import ImportedRecordRow
from matching_service.store.ownership import owning

IMPORTS = "/v1/imports"


@pytest.fixture
def folder(app: FastAPI) -> Path:
    found: Path = app.state.services.get(BackgroundImports).folder
    return found


async def upload(http: httpx.AsyncClient, *, confirmed: bool) -> str:
    content = "编号,需求名称,截止日期\n1,甲,\n2,乙,13900001234\n".encode()
    made = await http.post(IMPORTS, params={"what": "demands"}, files={"file": ("a.csv", content)})
    path = f"{IMPORTS}/{made.raise_for_status().json()['id']}"
    if confirmed:
        (await http.post(f"{path}/confirm")).raise_for_status()
        while (await http.get(path)).json()["state"] == "running":
            pass
    return path


def held(folder: Path) -> int:
    return sum(1 for _ in folder.iterdir())


async def test_files_go_and_what_they_did_stays_to_be_undone(
    http: httpx.AsyncClient, database: Database, folder: Path, clock: Clock
) -> None:
    preview, done = await upload(http, confirmed=False), await upload(http, confirmed=True)
    assert await prune_imports(database, folder, at=now()) == 0
    clock.advance(hours=23)
    assert (await prune_imports(database, folder, at=now()), held(folder)) == (0, 2)
    clock.advance(hours=2)
    assert (await prune_imports(database, folder, at=now()), held(folder)) == (1, 1)
    assert (await http.get(preview)).status_code == 404
    assert "13900001234" in (await http.get(done)).text
    assert (await http.get(f"{done}/rejects.xlsx")).status_code == 200
    clock.advance(days=7)
    assert (await prune_imports(database, folder, at=now()), held(folder)) == (1, 0)
    kept = await http.get(done)
    assert "13900001234" not in kept.text
    assert (kept.json()["state"], kept.json()["n_findings"], kept.json()["has_rejects"]) == ("done", 1, False)
    assert (await http.get(f"{done}/rejects.xlsx")).status_code == 410
    assert (await http.post(f"{done}/undo")).status_code == 202
    while (undone := (await http.get(done)).json())["state"] != "undone":
        pass
    assert undone["undone"] == {"deleted": 1, "restored": 0, "left": 0}


async def test_after_three_months_an_import_cannot_be_undone(
    http: httpx.AsyncClient, database: Database, folder: Path, clock: Clock
) -> None:
    done = await upload(http, confirmed=True)
    clock.advance(days=91)
    await prune_imports(database, folder, at=now())
    async with database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(ImportedRecordRow)) == 0
    refused = await http.post(f"{done}/undo")
    assert (refused.status_code, refused.json()["code"]) == (409, "import_too_old")


async def test_an_upload_that_is_coming_and_a_foreign_folder_stay_and_what_was_left_behind_goes(
    database: Database, tmp_path: Path, clock: Clock
) -> None:
    left_behind = new_id()
    clock.advance(hours=25)
    names = [left_behind, new_id(), "notes"]
    for name in names:
        (tmp_path / "imports" / name).mkdir(parents=True)
    assert await prune_imports(database, tmp_path / "imports", at=now()) == 1
    assert {path.name for path in (tmp_path / "imports").iterdir()} == set(names[1:])


async def test_nothing_is_deleted_while_an_import_is_at_work(database: Database, tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "imports" / new_id()).mkdir(parents=True)
    clock.advance(days=2)
    async with owning(database, LOCK):
        assert await prune_imports(database, tmp_path / "imports", at=now(), patience_s=0) == 0
    assert await prune_imports(database, tmp_path / "imports", at=now()) == 1
