"""A receiver of webhooks, with the standard library alone: it checks the signature, and prints each event once.

WEBHOOK_SECRET=whsec_... python examples/webhook_receiver.py 8080
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ.get("WEBHOOK_SECRET", "")
MAX_AGE_S = 300
MAX_BODY_BYTES = 1_000_000

handled: set[str] = set()
"""Ids of what was taken. A real receiver keeps them in its database, in the transaction of the work that they cause."""


def is_genuine(secret: str, headers: Message, body: bytes) -> bool:
    """True when the service signed these bytes with the secret in the last five minutes; anything malformed is not.

    ``body`` is taken as it came, before any JSON parser has seen it. While a secret is being replaced a request
    carries two signatures, and either counts.
    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        message_id, timestamp = headers["Webhook-Id"], headers["Webhook-Timestamp"]
        is_recent = abs(time.time() - int(timestamp)) <= MAX_AGE_S
        signatures = headers["Webhook-Signature"].encode().split()
    except (AttributeError, TypeError, ValueError):  # a header is missing or is not what it should be
        return False
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(digest)
    return is_recent and any(hmac.compare_digest(expected, signature) for signature in signatures)


class Receiver(BaseHTTPRequestHandler):
    """204 for what is genuine, also when it comes again; 401 for anything else."""

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        if not 0 <= length <= MAX_BODY_BYTES:
            self.answer(413)
            return
        body = self.rfile.read(length)
        if not is_genuine(SECRET, self.headers, body):
            self.answer(401)
            return
        if (message_id := self.headers["Webhook-Id"]) not in handled:
            take(json.loads(body))
            handled.add(message_id)
        self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Requests are not logged; ``take`` prints what matters."""


def take(event: dict[str, object]) -> None:
    """The receiver's work. Answers are due within 15 seconds, so longer work is put aside and done later."""
    print(event["event"], event["entity_id"], "deleted" if event["deleted"] else "", flush=True)


def main() -> None:
    if not SECRET.startswith("whsec_"):
        sys.exit("Set WEBHOOK_SECRET to the secret that the service showed when the webhook was registered.")
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver) as server:
        print(f"listening on port {server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
