"""A client that sends slowly, without end, or nothing keeps no connection, and cannot hold up the end of the server."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import uvicorn
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from matching_service.api import bodies
from matching_service.cli.protocol import MAX_HEAD_BYTES, MAX_HEADERS, Protocol
from matching_service.foundation.errors import RequestTooSlow


class Impatient(Protocol):
    head_s = 0.3


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the whole body, then answers with its length."""
    assert scope["type"] == "http"
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(str(length)))]}
    )
    await send({"type": "http.response.body", "body": str(length).encode()})


@pytest.fixture
def running() -> Iterator[tuple[uvicorn.Server, int]]:
    config = uvicorn.Config(
        app, port=0, http=Impatient, log_config=None, lifespan="off", timeout_keep_alive=1, timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server, listening.getsockname()[1]
    server.should_exit = True
    thread.join()
    listening.close()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:  # the server has closed while more was coming
        pass
    return received


def refused_with(answer: bytes, status: int, code: str) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    found: dict[str, Any] = json.loads(body)
    return head.startswith(b"HTTP/1.1 %d " % status) and found["code"] == code and b"connection: close" in head.lower()


@pytest.mark.parametrize("begun", [b"GET", b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nX-A"])
def test_half_a_head_is_not_waited_for(running: tuple[uvicorn.Server, int], begun: bytes) -> None:
    with closing(connect(running[1])) as connection:
        connection.sendall(begun)
        assert refused_with(read_all(connection), 408, "head_too_slow")


def test_a_head_that_comes_byte_by_byte_is_not_waited_for(running: tuple[uvicorn.Server, int]) -> None:
    with closing(connect(running[1])) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        received = b""
        connection.settimeout(0.05)
        for _ in range(200):
            try:
                connection.sendall(b"a")
                received += connection.recv(65536)
                break
            except TimeoutError:
                continue
        connection.settimeout(20)
        assert refused_with(received + read_all(connection), 408, "head_too_slow")


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
def test_a_connection_without_a_request_is_closed(running: tuple[uvicorn.Server, int], sent: bytes) -> None:
    with closing(connect(running[1])) as connection:
        connection.sendall(sent)
        answer = read_all(connection)
        assert answer == b"" or refused_with(answer, 408, "head_too_slow")


def test_blank_lines_after_an_answer_do_not_keep_a_connection(running: tuple[uvicorn.Server, int]) -> None:
    with closing(connect(running[1])) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"\r\n")
        read_all(connection)  # ends


def test_a_kept_connection_answers_one_request_after_another(running: tuple[uvicorn.Server, int]) -> None:
    with closing(connect(running[1])) as connection:
        for n in range(3):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
            time.sleep(0.4 if n == 1 else 0)  # a body may take longer than a head
            connection.sendall(b"abc")
            assert connection.recv(65536).endswith(b"3")


@pytest.mark.parametrize(
    "head",
    [
        b"X-A: " + b"a" * (2 * MAX_HEAD_BYTES),
        b"\r\n".join(b"X-%d: a" % n for n in range(MAX_HEADERS + 1)),
        b"\r\n".join(b"X-%d: %s" % (n, b"a" * 1_000) for n in range(100)),
        b"X-A: " + b"a" * 20_000_000,
    ],
)
def test_a_large_head_is_refused(running: tuple[uvicorn.Server, int], head: bytes) -> None:
    with closing(connect(running[1])) as connection:
        request = b"GET / HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\n"
        try:
            connection.sendall(request)
        except (ConnectionResetError, BrokenPipeError):
            return  # refused before all was sent
        answer = read_all(connection)
        assert answer == b"" or refused_with(answer, 431, "head_too_large")
    with closing(connect(running[1])) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert read_all(connection).endswith(b"0")


def test_a_long_address_is_refused(running: tuple[uvicorn.Server, int]) -> None:
    with closing(connect(running[1])) as connection:
        connection.sendall(b"GET /" + b"a" * (MAX_HEAD_BYTES + 1) + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        assert refused_with(read_all(connection), 431, "head_too_large")


def test_connections_that_say_little_do_not_hold_up_the_end(running: tuple[uvicorn.Server, int]) -> None:
    server, port = running
    waiting = [connect(port) for _ in range(20)]
    for connection in waiting:
        connection.sendall(b"GET")
    time.sleep(0.1)
    server.should_exit = True
    for connection in waiting:
        read_all(connection)  # each ends, and so does the thread of the server
        connection.close()


async def test_a_body_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    monkeypatch.setattr(bodies, "_BODY_S", 0.05)
    with pytest.raises(RequestTooSlow):
        await bodies.read_body({"path": "/v1/demands"}, Headers(), never)
