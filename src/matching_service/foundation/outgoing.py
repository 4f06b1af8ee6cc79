"""HTTP requests to addresses that users configure.

The address is checked before the connection is opened (server-side request forgery). The time and the number of bytes
read from the response are limited.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx

from matching_service import __version__
from matching_service.foundation.errors import Bilingual, FieldError, InvalidInput

ATTEMPT_S = 15.0
"""Seconds for name lookup, connection, request and response together. Receivers should queue their work and respond at
once.
"""
_MAX_ANSWER_BYTES = 2_000
_MAX_ERROR = 500
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one attempt. ``status`` is None if there was no response; ``error`` is None on success."""

    status: int | None
    error: str | None = None

    @property
    def is_delivered(self) -> bool:
        return self.error is None


class _PrivateAddress(Exception):
    pass


def new_client() -> httpx.AsyncClient:
    """Return a client that follows no redirects, uses no proxy and opens a new connection for each request.

    httpx would reuse a kept connection for every host name with the same address, although its certificate was
    checked for one name only. Certificates are checked against the trust store of the machine (``SSL_CERT_FILE``).
    """
    return httpx.AsyncClient(
        verify=_trusted(),
        trust_env=False,
        follow_redirects=False,
        timeout=ATTEMPT_S,
        limits=httpx.Limits(max_keepalive_connections=0),
        headers={"User-Agent": f"matching-service/{__version__}"},
    )


def check_url(url: str, *, allow_private: bool) -> None:
    """Raise InvalidInput for a URL that requests are never sent to. Host names are resolved only when sending."""
    message: Bilingual | None = None
    try:
        parsed = httpx.URL(url)
        host, port = parsed.host, parsed.port or 1
        is_on_internet = is_public(host) if _is_address(host) else host != "localhost"
    except (httpx.InvalidURL, ValueError):
        message = Bilingual("不是有效的网址。", "Not a valid URL.")
    else:
        is_web = parsed.scheme in {"http", "https"} and 0 < port < 65_536
        if not host or not is_web or parsed.userinfo or parsed.fragment:
            message = Bilingual(
                "应为 https://主机/路径，不含用户名与 #。", "Must be https://host/path, without a user name or #."
            )
        elif not allow_private and (parsed.scheme != "https" or not is_on_internet):
            message = Bilingual(
                "仅允许 https 与公网地址；内网请设置 MATCHING_WEBHOOK_ALLOW_PRIVATE=true。",
                "Only https and public addresses; for an office's own network set MATCHING_WEBHOOK_ALLOW_PRIVATE=true.",
            )
    if message is not None:
        raise InvalidInput("invalid_url", message, errors=[FieldError("invalid_url", message, "/url")])


async def post(
    client: httpx.AsyncClient, url: str, *, headers: Mapping[str, str], body: bytes, allow_private: bool
) -> Outcome:
    """Send one POST request. Failures of the receiver or the network are returned as an outcome and not raised."""
    try:
        async with asyncio.timeout(ATTEMPT_S):
            return await _post(client, httpx.URL(url), headers, body, allow_private=allow_private)
    except TimeoutError:
        return Outcome(None, f"timeout: no answer within {ATTEMPT_S:.0f} s")
    except _PrivateAddress as refused:
        return Outcome(None, f"private_address: {refused}; MATCHING_WEBHOOK_ALLOW_PRIVATE is not set")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:  # UnicodeError: no valid DNS name
        return Outcome(None, _line(f"{type(error).__name__}: {error}"))


@cache
def _trusted() -> ssl.SSLContext:
    return ssl.create_default_context()  # cached: loading the certificates takes tens of milliseconds


async def _post(
    client: httpx.AsyncClient, url: httpx.URL, headers: Mapping[str, str], body: bytes, *, allow_private: bool
) -> Outcome:
    """Resolve the host name once and connect to the address that was checked, which prevents DNS rebinding.

    The certificate is still checked for the host name.
    """
    addresses = await _addresses(url, allow_private=allow_private)
    for place, address in enumerate(addresses, start=1):
        request = client.build_request(
            "POST",
            url.copy_with(host=address),
            content=body,
            headers={"Content-Type": "application/json", **headers, "Host": url.netloc.decode()},
            extensions={"sni_hostname": url.host},
        )
        try:
            response = await client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            if place == len(addresses):
                raise
            continue
        try:
            if response.is_success:
                return Outcome(response.status_code)
            return Outcome(response.status_code, _line(f"HTTP {response.status_code} {await _beginning(response)}"))
        finally:
            await response.aclose()
    raise AssertionError("unreachable: a name without addresses is an OSError")


async def _addresses(url: httpx.URL, *, allow_private: bool) -> list[str]:
    """Return the distinct addresses of the host. Raise _PrivateAddress if one is not public or the scheme is not https,
    unless ``allow_private``.
    """
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    entries = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
    if not allow_private:
        if url.scheme != "https":
            raise _PrivateAddress(url.scheme)
        for address in addresses:
            if not is_public(address):
                raise _PrivateAddress(address)
    return addresses


async def _beginning(response: httpx.Response) -> str:
    """Return the first bytes of a response as text, for the error message. The rest is not read."""
    read = bytearray()
    async for chunk in response.aiter_raw():
        read += chunk
        if len(read) >= _MAX_ANSWER_BYTES:
            break
    return bytes(read[:_MAX_ANSWER_BYTES]).decode("utf-8", "replace")


def _line(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()[:_MAX_ERROR]


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


_NAT64 = ip_network("64:ff9b::/96")
_NAT64_LOCAL = ip_network("64:ff9b:1::/48")


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a gateway would send to: mapped, compatible, NAT64, 6to4 or Teredo."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64 or address in _NAT64_LOCAL or not address.packed[:12].strip(b"\0"):
        return IPv4Address(address.packed[12:])
    if address.sixtofour is not None:
        return address.sixtofour
    return address.teredo[1] if address.teredo is not None else None


def is_public(host: str) -> bool:
    """Whether an address, not a name, is of the internet. An IPv4 address inside an IPv6 one counts as itself."""
    address = ip_address(host.partition("%")[0])  # drop the zone of a link-local address, as in fe80::1%eth0
    if isinstance(address, IPv6Address):
        address = _inner(address) or address
    return address.is_global and not address.is_multicast
