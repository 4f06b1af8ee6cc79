"""A real HTTP receiver that fails, is slow, and goes away as a test says."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.path).query))

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def is_signed_with(self, secret: str) -> bool:
        """Checked as docs/exchange.md tells a portal's programmer to."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return any(hmac.compare_digest(expected, given) for given in self.headers["webhook-signature"].split())


@dataclass
class Receiver:
    """``answer`` gives the status for a request; a request waits while ``may_answer`` is not set."""

    answer: Callable[[Received], int] = lambda _request: 204
    answer_headers: dict[str, str] = field(default_factory=dict)
    answer_body: bytes = b""
    content: Callable[[Received], bytes] | None = None
    requests: list[Received] = field(default_factory=list)
    accepted: list[Received] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)
    may_answer: threading.Event = field(default_factory=threading.Event)
    port: int = 0
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def start(self) -> Self:
        """On the port that it had before, if it was stopped."""
        self.may_answer.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def stop(self) -> None:
        self.may_answer.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def wait_for(self, n_accepted: int) -> bool:
        """Wait until so many were accepted; False when that takes too long."""
        deadline = time.monotonic() + 60
        while len(self.accepted) < n_accepted and time.monotonic() < deadline:
            time.sleep(0.02)
        return len(self.accepted) >= n_accepted

    def events(self) -> list[tuple[str, str]]:
        """Event and entity id of what was accepted, in order."""
        return [(request.json["event"], request.json["entity_id"]) for request in self.accepted]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                request = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                receiver.requests.append(request)
                receiver.arrived.set()
                receiver.may_answer.wait(60)
                status = receiver.answer(request)
                if status < 300:
                    receiver.accepted.append(request)
                content = receiver.content(request) if receiver.content is not None else receiver.answer_body
                try:
                    self.send_response(status)
                    for name, value in receiver.answer_headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    pass  # whoever asked has gone

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
