"""No connection leaves this machine: a test that needs one would pass in one place and fail in another."""

import ipaddress
import socket
from typing import Any

import pytest

_NOWHERE = (".invalid", ".example")
"""Reserved, and the names of no machine (RFC 6761); no name server is asked for them."""
REFUSED: list[str] = []
"""What code under test tried to reach since the last look; it may have taken the refusal for a broken network."""


class ConnectionRefusedByTests(RuntimeError):
    """Not an OSError, which code under test expects and handles."""


def refuse_other_machines(patch: pytest.MonkeyPatch) -> None:
    """Only loopback addresses and Unix sockets are left. Names of other machines are not looked up either."""
    for name in ("connect", "connect_ex", "sendto"):
        patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **more: Any) -> Any:
        name = _name(host)
        if name.endswith(_NOWHERE):
            name.encode("idna")  # raises UnicodeError for what is no name, as the real one does
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        _check(name)
        return look_up(host, *arguments, **more)

    patch.setattr(socket, "getaddrinfo", getaddrinfo)


def _guarded(method: Any) -> Any:
    def guarded(self: socket.socket, *arguments: Any) -> Any:
        address = arguments[-1]
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            _check(_name(address[0]))
        return method(self, *arguments)

    return guarded


def _name(host: str | bytes | None) -> str:
    return host.decode() if isinstance(host, bytes) else host or "localhost"


def _check(name: str) -> None:
    try:
        is_here = ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        is_here = name == "localhost"
    if not is_here:
        REFUSED.append(name)
        raise ConnectionRefusedByTests(f"tests may not reach {name}, only this machine")
