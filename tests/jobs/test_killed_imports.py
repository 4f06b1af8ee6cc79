"""A server that is killed while it stores a file: the import says so, and goes on without storing a row twice."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from cli.test_backup import killed_at_the_end
from conftest import Cli

pytestmark = pytest.mark.apart
N_ROWS = 6_000


def test_an_import_goes_on_after_its_server_was_killed_and_is_undone_whole(cli: Cli, tmp_path: Path) -> None:
    """The rows have no ids, so that a row that is stored twice would be two records."""
    content = "\n".join(json.dumps({"title": f"需求{n}"} if n % 7 else {"problem": "无标题"}) for n in range(N_ROWS))
    assert cli.run("migrate").returncode == 0
    with killed_at_the_end(cli, tmp_path / "first.log") as http:
        made = http.post("/v1/imports?what=demands", files={"file": ("a.jsonl", content.encode())})
        path = f"/v1/imports/{made.raise_for_status().json()['id']}"
        http.post(f"{path}/confirm").raise_for_status()
        while (seen := http.get(path).json())["n_done"] == 0:
            assert seen["state"] == "running"
    with killed_at_the_end(cli, tmp_path / "second.log") as http:
        seen = until(http, path, "interrupted")
        assert 0 < seen["n_done"] < N_ROWS
        assert seen["is_interrupted"]
        assert http.post(f"{path}/confirm").status_code == 202
        done = until(http, path, "done")
        http.post(f"{path}/undo").raise_for_status()
        undone = until(http, path, "undone")
        assert http.get("/v1/demands").json()["items"] == []
    n_bad = len(range(0, N_ROWS, 7))
    assert done["counts"] == {"created": N_ROWS - n_bad, "updated": 0, "unchanged": 0, "organizations_created": 0}
    assert done["rows"]["bad"] == n_bad
    assert undone["undone"] == {"deleted": N_ROWS - n_bad, "restored": 0, "left": 0}


def until(http: httpx.Client, path: str, state: str) -> dict[str, Any]:
    while (seen := http.get(path).raise_for_status().json())["state"] != state:
        assert seen["state"] in {"running", "undoing"}, seen
        time.sleep(0.1)
    found: dict[str, Any] = seen
    return found
