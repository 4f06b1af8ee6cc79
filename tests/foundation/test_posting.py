"""Signatures, and where requests may lead: nowhere private unless allowed, no redirect, no endless answer."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError
from webhooks.receivers import Received, Receiver

from matching_service.foundation import outgoing as posting
from matching_service.foundation.errors import InvalidInput
from matching_service.foundation.outgoing import Outcome
from matching_service.webhooks.signing import new_secret, signed_headers

DOCUMENT = (Path(__file__).parents[2] / "docs" / "exchange.md").read_text(encoding="utf-8")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    started = Receiver().start()
    yield started
    started.stop()


async def post(url: str, *, allow_private: bool = True) -> Outcome:
    async with posting.new_client() as client:
        return await posting.post(client, url, headers={}, body=b"{}", allow_private=allow_private)


def lead(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Make every name lead to these addresses; returns the names that are looked up."""
    looked_up: list[str] = []

    async def lookup(host: str, port: int, **_: Any) -> list[Any]:
        looked_up.append(host)
        return [(0, 1, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
    return looked_up


def test_signatures_are_those_of_the_standard() -> None:
    """The example of the Standard Webhooks specification's own libraries."""
    headers = signed_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert headers["Webhook-Signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_check_that_the_document_shows_works(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: dict[str, Any] = {}
    exec(DOCUMENT.split("```python\n")[1].split("```")[0], shown)
    monkeypatch.setattr("time.time", lambda: 1_000_000)
    secret, body = new_secret(), "需求".encode()
    headers = signed_headers(secret, message_id="m", timestamp=1_000_000, body=body)
    given = {name.lower(): value for name, value in headers.items()}
    assert shown["is_genuine"](secret, given, body)
    assert shown["is_genuine"](secret, given | {"webhook-signature": f"v1,x {given['webhook-signature']}"}, body)
    assert not shown["is_genuine"](secret, given, body + b" ")
    assert not shown["is_genuine"](new_secret(), given, body)
    assert not shown["is_genuine"](secret, given | {"webhook-id": "n"}, body)
    old = signed_headers(secret, message_id="m", timestamp=999_000, body=body)
    assert not shown["is_genuine"](secret, {name.lower(): value for name, value in old.items()}, body)


BODIES = st.text(max_size=50).map(str.encode)


@given(BODIES, BODIES, st.integers(0, 2**33), st.integers(0, 2**33))
def test_a_signature_covers_body_and_time(body: bytes, other: bytes, at: int, later: int) -> None:
    secret = new_secret()

    def received(signed: bytes, sent: bytes, signed_at: int, sent_at: int) -> Received:
        headers = signed_headers(secret, message_id="m", timestamp=signed_at, body=signed)
        sent_headers = {name.lower(): value for name, value in headers.items()}
        return Received("/", sent_headers | {"webhook-timestamp": str(sent_at)}, sent)

    assert received(body, body, at, at).is_signed_with(secret)
    assert not received(body, body, at, at).is_signed_with(new_secret())
    assert received(body, other, at, at).is_signed_with(secret) == (body == other)
    assert received(body, body, at, later).is_signed_with(secret) == (at == later)


@given(BODIES)
def test_a_receiver_with_the_library_of_the_standard_takes_either_secret(body: bytes) -> None:
    new, old = new_secret(), new_secret()
    headers = signed_headers(new, old, message_id="m", timestamp=int(time.time()), body=body)
    for secret in (new, old):
        Webhook(secret).verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, headers, json_parse=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://portal.example/hook", "https://localhost/", "https://127.0.0.1/", "https://10.1.2.3/", "https://[::1]/",
        "https://169.254.169.254/latest", "https://[::ffff:192.168.1.1]/", "https://100.64.0.1/", "https://224.0.0.1/",
        "https://0.0.0.0/", "https://[64:ff9b::7f00:1]/", "https://[64:ff9b::a01:203]/", "https://[64:ff9b:1::a01:203]/",
        "https://[2002:7f00:1::]/", "https://[2002:a01:203::1]/", "https://[::127.0.0.1]/", "https://[::10.1.2.3]/",
        "https://[2001:0:53aa:64c:0:fbff:f5fe:fdfc]/",
    ],
)  # fmt: skip
def test_private_addresses_and_plain_http_need_the_setting(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        posting.check_url(url, allow_private=False)
    assert "MATCHING_WEBHOOK_ALLOW_PRIVATE" in refused.value.detail.zh
    posting.check_url(url, allow_private=True)


@pytest.mark.parametrize(
    "url",
    ["", "portal", "ftp://portal.example/", "https:///x", "https://u:p@portal.example/", "https://portal.example/#a",
     "https://[::1/", "file:///etc/passwd", "https://portal.example:99999/"],
)  # fmt: skip
@pytest.mark.parametrize("allow_private", [True, False])
def test_what_is_no_address_is_refused(url: str, *, allow_private: bool) -> None:
    with pytest.raises(InvalidInput) as refused:
        posting.check_url(url, allow_private=allow_private)
    assert refused.value.errors[0].pointer == "/url"


def test_a_public_address_is_accepted() -> None:
    for url in ("https://portal.example/hook?a=1", "https://8.8.8.8:8443/", "https://数据.example/"):
        posting.check_url(url, allow_private=False)


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::1"]])
async def test_a_name_that_leads_to_a_private_address_is_refused_when_sending(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    """The check when it is registered cannot know where a name will lead; one private address among many is enough."""
    lead(monkeypatch, *addresses)
    outcome = await post(f"https://hook.test:{receiver.port}/", allow_private=False)
    assert outcome.status is None
    assert f"private_address: {addresses[-1]}" in (outcome.error or "")
    assert receiver.requests == []


async def test_plain_http_is_refused_also_when_sending(receiver: Receiver) -> None:
    assert "private_address" in ((await post(receiver.url, allow_private=False)).error or "")
    assert receiver.requests == []


async def test_the_address_that_was_checked_is_the_one_that_is_asked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look-up, the name in the header; when the first address does not answer the next is taken."""
    looked_up = lead(monkeypatch, "::1", "127.0.0.1")
    assert await post(f"http://hook.test:{receiver.port}/hook?a=1") == Outcome(204)
    assert looked_up == ["hook.test"]
    assert receiver.requests[0].headers["host"] == f"hook.test:{receiver.port}"
    assert receiver.requests[0].path == "/hook?a=1"


@pytest.mark.parametrize("host", ["matching-service.invalid", f"{'a' * 64}.example"])
async def test_a_name_that_leads_nowhere_is_a_failure(host: str) -> None:
    outcome = await post(f"https://{host}/")
    assert outcome.status is None
    assert outcome.error


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 410, 429, 500, 503])
async def test_anything_but_success_is_a_failure_and_no_redirect_is_followed(receiver: Receiver, status: int) -> None:
    receiver.answer = lambda request: status if request.path == "/hook" else 200
    receiver.answer_headers = {"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"}
    receiver.answer_body = "字段 qymc 必填\x00\n".encode() * 100_000
    outcome = await post(receiver.url)
    assert [request.path for request in receiver.requests] == ["/hook"]
    assert outcome.status == status
    assert outcome.error is not None
    assert outcome.error.startswith(f"HTTP {status} 字段 qymc 必填 字段")
    assert len(outcome.error) <= 500


async def test_a_receiver_that_never_answers_is_a_failure(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "ATTEMPT_S", 0.2)
    receiver.may_answer.clear()
    outcome = await post(receiver.url)
    assert outcome.status is None
    assert "timeout" in (outcome.error or "")


async def test_a_receiver_that_is_away_is_a_failure(receiver: Receiver) -> None:
    receiver.stop()
    outcome = await post(receiver.url)
    assert outcome.status is None
    assert "ConnectError" in (outcome.error or "")
