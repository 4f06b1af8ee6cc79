"""An office ranks with a model of its own, and goes on while the model is away. On SQLite: no database has a part in it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Cli, run_server
from encoders.model_server import model_server
from http_checks import create, match


def _until(http: httpx.Client, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 90
    state: dict[str, Any] = {}
    while not condition(state):
        state = http.get("/health/ready").json()
        assert time.monotonic() < deadline, state
        time.sleep(0.1)
    return state


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_matches_go_on_by_words_while_the_model_is_away(cli: Cli, tmp_path: Path) -> None:
    with model_server() as models:
        port = int(models.url.rpartition(":")[2].partition("/")[0])
        own = Cli(cli.environment | {"MATCHING_ENCODER": models.url, "MATCHING_ENCODER_MODEL": "bge-m3"})
        early = own.run("evaluate", "--demands", "x", "--profiles", "x", "--labels", "x")
        assert early.returncode == 1
        assert "encoder calibrate" in early.stderr
        calibrated = own.run("encoder", "calibrate")
        assert calibrated.returncode == 0, calibrated.stderr
        assert own.run("encoder", "calibrate", MATCHING_ENCODER="universal").returncode == 2
        serving = run_server("sqlite", own, tmp_path)
        server = next(serving)
    with server.client() as http:  # the model is away from here on
        first = create(http, "profiles", name="甲", summary="谐波减速器柔轮疲劳")["id"]
        found = match(http, query={"title": "谐波减速器柔轮开裂"})
        away = http.get("/health/ready")
        assert [item["profile"]["id"] for item in found["items"]] == [first]
        assert (found["index"]["encoder_available"], found["index"]["pending_vectors"]) == (False, 1)
        assert (away.status_code, away.json()["encoder"]["ok"]) == (200, False)
        assert "matching_encoder_available 0.0" in http.get("/metrics").text
        with model_server(port):
            back = _until(http, lambda state: state.get("index_pending_vectors") == 0)
            again = match(http, query={"title": "谐波减速器柔轮开裂"})
        assert back["encoder"]["ok"]
        assert again["index"]["encoder_available"]
        parts = {part["signal"] for part in again["items"][0]["explanation"]["parts"]}
        assert {"lexical", "semantic"} <= parts
    with pytest.raises(StopIteration):
        next(serving)
