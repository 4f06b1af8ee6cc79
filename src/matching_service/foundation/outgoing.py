"""One request to a foreign address: checked where it leads, bounded in time and in what is read of the answer."""

import asyncio
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv6Address, ip_address

import httpx

from matching_service import __version__
from matching_service.foundation.errors import FieldError, InvalidInput, Text

ATTEMPT_S = 15.0
"""Name lookup, connection, request and answer together; a receiver should put work aside and answer at once."""
_MAX_ANSWER_BYTES = 2_000
_MAX_ERROR = 500
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt: the receiver's status, None when there was no answer, and what went wrong."""

    status: int | None
    error: str | None = None

    @property
    def is_delivered(self) -> bool:
        return self.error is None


class _PrivateAddress(Exception):
    pass


def new_client() -> httpx.AsyncClient:
    """A client that follows no redirects, uses no proxy, and opens a connection for each request.

    A connection that is kept would be shared by all names with one address, whatever name its certificate was
    checked for. Certificates are checked against those that the machine trusts (``SSL_CERT_FILE``).
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
    """Raise InvalidInput for an address that would never be sent to; what a name leads to is looked up when sending."""
    message: Text | None = None
    try:
        parsed = httpx.URL(url)
        host, port = parsed.host, parsed.port or 1
        is_public = _is_public(host) if _is_address(host) else host != "localhost"
    except (httpx.InvalidURL, ValueError):
        message = Text("不是有效的网址。", "Not a valid URL.")
    else:
        is_web = parsed.scheme in {"http", "https"} and 0 < port < 65_536
        if not host or not is_web or parsed.userinfo or parsed.fragment:
            message = Text(
                "应为 https://主机/路径，不含用户名与 #。", "Must be https://host/path, without a user name or #."
            )
        elif not allow_private and (parsed.scheme != "https" or not is_public):
            message = Text(
                "仅允许 https 与公网地址；内网请设置 MATCHING_WEBHOOK_ALLOW_PRIVATE=true。",
                "Only https and public addresses; for an office's own network set MATCHING_WEBHOOK_ALLOW_PRIVATE=true.",
            )
    if message is not None:
        raise InvalidInput("invalid_url", message, errors=[FieldError("invalid_url", message, "/url")])


async def post(
    client: httpx.AsyncClient, url: str, *, headers: Mapping[str, str], body: bytes, allow_private: bool
) -> Outcome:
    """Send once. Every failure of the receiver or of the way to it is an outcome, not an exception."""
    try:
        async with asyncio.timeout(ATTEMPT_S):
            return await _post(client, httpx.URL(url), headers, body, allow_private=allow_private)
    except TimeoutError:
        return Outcome(None, f"timeout: no answer within {ATTEMPT_S:.0f} s")
    except _PrivateAddress as refused:
        return Outcome(None, f"private_address: {refused}; MATCHING_WEBHOOK_ALLOW_PRIVATE is not set")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:  # the last: names DNS cannot hold
        return Outcome(None, _line(f"{type(error).__name__}: {error}"))


@cache
def _trusted() -> ssl.SSLContext:
    return ssl.create_default_context()  # reading some hundred certificates takes tens of milliseconds


async def _post(
    client: httpx.AsyncClient, url: httpx.URL, headers: Mapping[str, str], body: bytes, *, allow_private: bool
) -> Outcome:
    """The name is looked up once, and the request goes to the very address that was checked: a name that leads
    elsewhere at the second look (DNS rebinding) gains nothing. The certificate is checked for the name.
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
    """What the host's name leads to, each once; raises _PrivateAddress when any of it is not public."""
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not allow_private:
        if url.scheme != "https":
            raise _PrivateAddress(url.scheme)
        for address in addresses:
            if not _is_public(address):
                raise _PrivateAddress(address)
    return addresses


async def _beginning(response: httpx.Response) -> str:
    """The first bytes of an answer as text, for a person who looks for the reason; the rest is not read."""
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


def _is_public(host: str) -> bool:
    address = ip_address(host.partition("%")[0])  # a link-local address may name its interface
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_global and not address.is_multicast
