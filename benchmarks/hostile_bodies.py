"""How long is everybody else kept waiting while somebody sends hostile bodies? A real server, watched from outside.

Each attack is sent five times at once, while ``/health/live`` is asked all the time. Per attack: the statuses, the
longest wait of the others in milliseconds, the longest answer in bytes. The first row sends nothing.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

N_AT_ONCE = 5
_PORT = 8977


def _attacks() -> dict[str, tuple[str, bytes, bool]]:
    """Name -> path, body, with a key."""
    nested = b'{"title": "a", "keywords": ' + b"[" * 900 + b"]" * 900 + b"}"
    deep = b"[" + b",".join([nested] * (7_800_000 // len(nested))) + b"]"
    unknown = json.dumps({f"key{n}": n for n in range(350_000)}).encode()
    many = json.dumps({"title": "a", "keywords": [1] * 300_000}).encode()
    long_text = json.dumps({"title": "a", "problem": "求" * 300_000}).encode()
    items = json.dumps({"items": [{"x": 1}] * 500_000}).encode()
    unknown_item = json.dumps({"items": [{f"k{n}": n for n in range(1_000)} for _ in range(500)]}).encode()
    return {
        "nested, no key": ("/v1/demands", deep, False),
        "nested": ("/v1/demands", deep, True),
        "unknown keys, no key": ("/v1/demands", unknown, False),
        "unknown keys": ("/v1/demands", unknown, True),
        "unknown keys to rank": ("/v1/matches", unknown, True),
        "many wrong items": ("/v1/demands", many, True),
        "long text": ("/v1/demands", long_text, True),
        "too many records": ("/v1/demands/bulk", items, True),
        "records of unknown keys": ("/v1/profiles/bulk", unknown_item, True),
    }


async def _measure(key: str, path: str, body: bytes, *, with_key: bool) -> tuple[Counter[int], float, int]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if with_key else {})
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{_PORT}", timeout=600, trust_env=False) as http,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{_PORT}", timeout=600, trust_env=False) as watcher,
    ):
        await watcher.get("/health/live")

        async def send() -> httpx.Response | None:
            try:
                return await http.post(path, content=body, headers=headers)
            except httpx.TransportError:  # the server answers and closes before it has read all
                return None

        sent = asyncio.gather(*(send() for _ in range(N_AT_ONCE if body else 0)))
        longest = 0.0
        ends = time.perf_counter() + 1
        while not sent.done() or time.perf_counter() < ends:
            started = time.perf_counter()
            await watcher.get("/health/live")
            longest = max(longest, time.perf_counter() - started)
            await asyncio.sleep(0.01)
        answers = await sent
    statuses = Counter(answer.status_code if answer is not None else 0 for answer in answers)
    return statuses, longest * 1e3, max((len(answer.content) for answer in answers if answer is not None), default=0)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"MATCHING_DATA_DIR": folder, "MATCHING_ENCODER": "none"}
        command = [sys.executable, "-m", "matching_service"]
        subprocess.run([*command, "migrate"], env=environment, check=True, capture_output=True)
        make_key = [*command, "keys", "create", "--role", "staff", "--name", "bench"]
        key = subprocess.run(make_key, env=environment, check=True, capture_output=True, text=True).stdout.strip()
        with (Path(folder) / "log").open("w") as log:
            server = subprocess.Popen(
                [*command, "serve", "--port", str(_PORT)], env=environment, stderr=log, stdout=log
            )
        try:
            while True:
                try:
                    if httpx.get(f"http://127.0.0.1:{_PORT}/health/ready", trust_env=False).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.2)
            print("| attack | body, MB | statuses | longest wait of others, ms | longest answer, kB |")
            print("| --- | --- | --- | --- | --- |")
            for name, (path, body, with_key) in {"nothing": ("", b"", False), **_attacks()}.items():
                statuses, wait, answer = asyncio.run(_measure(key, path, body, with_key=with_key))
                shown = ", ".join(f"{n} x {status or 'closed'}" for status, n in sorted(statuses.items()))
                print(f"| {name} | {len(body) / 1e6:.1f} | {shown} | {wait:.0f} | {answer / 1e3:.0f} |", flush=True)
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
