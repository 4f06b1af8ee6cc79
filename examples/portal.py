"""A portal: it registers an enterprise, posts its demand, submits it, and follows its state.

MATCHING_URL=http://127.0.0.1:8000 MATCHING_KEY=... python examples/portal.py examples/demand.json
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

N_ATTEMPTS = 6
SECONDS_BETWEEN_LOOKS = float(os.environ.get("PORTAL_SECONDS", "30"))
UNDECIDED = {"draft", "submitted", "reviewed"}


def send(portal: httpx.Client, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """The answer's body. A refusal ends the program with the service's own words.

    Without an answer, or with 503, the same request is sent again. Its key makes that safe: the work is done once. A
    portal that may crash in between stores the key beside its record before it sends anything.
    """
    headers = {"Idempotency-Key": str(uuid4())} if method == "POST" else {}
    for attempt in range(1, N_ATTEMPTS + 1):
        try:
            answer = portal.request(method, path, json=body, headers=headers)
        except httpx.TransportError as error:
            wait_s, reason = 2**attempt, f"{type(error).__name__}: {error}"
        else:
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return answer.json() if answer.is_success else sys.exit(refusal(method, path, answer))
            wait_s, reason = int(answer.headers.get("Retry-After", 2**attempt)), refusal(method, path, answer)
        if attempt < N_ATTEMPTS:
            print(f"{reason}; next attempt in {wait_s} s", file=sys.stderr)
            time.sleep(wait_s)
    return sys.exit(f"gave up: {reason}")


def refusal(method: str, path: str, answer: httpx.Response) -> str:
    """The service's problem in one line, and a line for each field. Programs read ``code``: words may change."""
    if answer.headers.get("content-type") != "application/problem+json":  # of a proxy in between
        return f"{method} {path}: HTTP {answer.status_code}"
    problem = answer.json()
    fields = "".join(f"\n  {error['pointer']}: {error['message']}" for error in problem["errors"])
    return f"{method} {path}: {answer.status_code} {problem['code']}: {problem['detail']}{fields}"


def follow(portal: httpx.Client, path: str) -> str:
    """Print each new state until the office has decided; the last one. Other systems read the feed or take webhooks."""
    state = ""
    while True:
        demand = send(portal, "GET", path)
        if demand["status"] != state:
            state = demand["status"]
            print(state, flush=True)
        if state not in UNDECIDED:
            return state
        time.sleep(SECONDS_BETWEEN_LOOKS)


def main() -> None:
    form = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    url, key = os.environ.get("MATCHING_URL", "http://127.0.0.1:8000"), os.environ["MATCHING_KEY"]
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as portal:
        send(portal, "POST", "/v1/organizations", form["organization"])
        path = f"/v1/demands/{send(portal, 'POST', '/v1/demands', form['demand'])['id']}"
        send(portal, "PUT", f"{path}/contact", form["contact"])
        send(portal, "POST", f"{path}/transitions", {"to": "submitted"})
        print(path)
        if follow(portal, path) in {"returned", "rejected"}:
            sys.exit(send(portal, "GET", f"{path}/history")["items"][-1]["opinion"])


if __name__ == "__main__":
    main()
