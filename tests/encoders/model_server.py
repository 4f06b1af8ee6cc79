"""A small embeddings endpoint for tests. A text means its pairs of characters; the server can be told to misbehave."""

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

N_DIMENSIONS = 512


def vector_of(text: str) -> list[float]:
    """Never zero, the same for equal texts, alike for texts that share pairs of characters."""
    values = [0.01] * N_DIMENSIONS
    for pair in zip(text, text[1:] + "。", strict=True):
        code = zlib.crc32("".join(pair).encode())
        values[code % N_DIMENSIONS] += 1.0 if code & 1024 else -1.0
    return values


@dataclass
class ModelServer:
    """``fault`` : what the next answers are instead of vectors. requests : headers and bodies, as they came."""

    url: str = ""
    fault: str | None = None
    n_faults: int = 1_000_000
    requests: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    go_on: Event = field(default_factory=Event)

    def answer(self, texts: list[str]) -> tuple[int, bytes]:  # noqa: C901  # one case a fault
        items: list[dict[str, Any]] = [{"index": n, "embedding": vector_of(text)} for n, text in enumerate(texts)]
        if self.fault is None or self.n_faults == 0:
            return 200, json.dumps({"data": items[::-1]}).encode()  # not in the order of the texts
        self.n_faults -= 1
        match self.fault:
            case "not a number":
                items[0]["embedding"][0] = float("nan")
            case "one too few":
                items = items[1:]
            case "of different lengths":
                items[0]["embedding"] = [1.0]
            case "words":
                items[0]["embedding"] = ["a"] * N_DIMENSIONS
            case "other dimensions":
                items = [{"index": item["index"], "embedding": item["embedding"][:-1]} for item in items]
            case "no json":
                return 200, b"<html>a proxy</html>"
            case "no data":
                return 200, b'{"object": "list"}'
            case "endless":
                return 200, b" " * (40 << 20)
            case "hangs":
                self.go_on.wait(20)
            case status:
                return int(status), b'{"error": {"message": "busy"}}'
        return 200, json.dumps({"data": items}).encode()


@contextmanager
def model_server(port: int = 0) -> Iterator[ModelServer]:
    state = ModelServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append((dict(self.headers), body))
            status, content = state.answer(body["input"]) if self.path == "/v1/embeddings" else (404, b"{}")
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "http://127.0.0.1:1/v1/embeddings")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        state.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
