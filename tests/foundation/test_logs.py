"""Logs: one JSON object a line on stderr, with the request's id."""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from matching_service.foundation.logs import JsonFormatter, configure_logs, request_id


def formatted(**extra: object) -> Any:
    record = logging.getLogger("matching_service.test").makeRecord(
        "matching_service.test", logging.INFO, __file__, 1, "match_run_%s", ("finished",), None, extra=extra
    )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    return json.loads(line)


@pytest.fixture
def _loggers_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    for handler in handlers:
        root.removeHandler(handler)  # or basicConfig would close them
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_record_is_an_event_with_fields() -> None:
    fields = formatted(n_demands=64, reason="第一行\n第二行", path=object)
    assert fields["event"] == "match_run_finished"
    assert (fields["level"], fields["logger"]) == ("info", "matching_service.test")
    assert (fields["n_demands"], fields["reason"]) == (64, "第一行\n第二行")
    assert str(fields["time"]).endswith("+00:00")
    assert "request_id" not in fields


def test_the_request_id_is_added() -> None:
    token = request_id.set("r-1")
    try:
        assert formatted()["request_id"] == "r-1"
    finally:
        request_id.reset(token)


def test_a_traceback_stays_on_its_line() -> None:
    try:
        raise ValueError("wrong")  # noqa: TRY301
    except ValueError:
        record = logging.makeLogRecord({"msg": "failed", "levelname": "ERROR", "exc_info": sys.exc_info()})
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "ValueError: wrong" in json.loads(line)["traceback"]


@pytest.mark.usefixtures("_loggers_as_before")
def test_every_logger_writes_json_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("INFO")
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.access").info("a line per request, which the service writes itself")
    logging.getLogger("matching_service").debug("too fine")
    written = capsys.readouterr()
    assert written.out == ""
    assert [json.loads(line)["event"] for line in written.err.splitlines()] == ["started"]
