"""The guard that keeps tests on this machine lets nothing through, and lets nothing break that stays."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from network import REFUSED, ConnectionRefusedByTests

ELSEWHERE = "192.0.2.1"  # a block for documentation (RFC 5737): no machine has it


def connect() -> None:
    with socket.socket() as made:
        made.connect((ELSEWHERE, 80))


def connect_ex() -> None:
    with socket.socket(socket.AF_INET6) as made:
        made.connect_ex(("2001:db8::1", 80))


def send() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as made:
        made.sendto(b"?", (ELSEWHERE, 53))


def look_up() -> None:
    socket.getaddrinfo("example.org", 80)


def ask() -> None:
    httpx.get(f"http://{ELSEWHERE}/", trust_env=False)


def ask_by_name() -> None:
    httpx.get("http://example.org/", trust_env=False)


def open_connection() -> None:
    asyncio.run(asyncio.open_connection(ELSEWHERE, 80))


def ask_in_a_loop() -> None:
    async def ask() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(f"http://{ELSEWHERE}/")

    asyncio.run(ask())


@pytest.mark.parametrize(
    "leave", [connect, connect_ex, send, look_up, ask, ask_by_name, open_connection, ask_in_a_loop]
)
def test_no_way_leads_to_another_machine(leave: Callable[[], None]) -> None:
    with pytest.raises((ConnectionRefusedByTests, ExceptionGroup)):  # anyio packs it into a group
        leave()
    assert REFUSED
    REFUSED.clear()  # or this test would fail, as every other that tries


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_this_machine_is_reached(echo: int, host: str) -> None:
    reader, writer = await asyncio.open_connection(host, echo)
    writer.write(b"here\n")
    assert await reader.readline() == b"here\n"
    writer.close()
    await writer.wait_closed()


def test_unix_sockets_are_left(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as calling:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        calling.connect(str(tmp_path / "s"))


@pytest.mark.parametrize("host", ["receiver.invalid", b"receiver.invalid"])
def test_reserved_names_lead_nowhere(host: str | bytes) -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo(host, 443)
