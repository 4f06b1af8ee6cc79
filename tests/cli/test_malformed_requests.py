"""Requests that the server cannot even read are answered with a problem body."""

import json
import socket
from urllib.parse import urlsplit

import pytest
from conftest import Server


def _answer(server: Server, request: bytes) -> tuple[str, dict[str, str], bytes]:
    address = urlsplit(server.base_url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    return status, {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}, body


@pytest.mark.parametrize(
    "request_line",
    [
        "GET /v1/board?q=泵 HTTP/1.1".encode(),
        "GET /v1/board?q=泵 HTTP/1.1".encode("gb18030"),
        b"GET /v1/bo\xffard HTTP/1.1",
        b"nonsense",
    ],
)
def test_bytes_that_are_no_request_get_a_problem(server: Server, request_line: bytes) -> None:
    status, headers, body = _answer(server, request_line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert status == "HTTP/1.1 400 Bad Request"
    assert headers["content-type"] == "application/problem+json"
    problem = json.loads(body)
    assert int(headers["content-length"]) == len(body)
    assert (problem["code"], problem["status"]) == ("malformed_request", 400)
    assert problem["request_id"] == headers["x-request-id"]
    assert "--data-urlencode" in problem["detail"]
