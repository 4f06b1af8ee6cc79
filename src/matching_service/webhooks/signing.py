"""Signatures of webhooks as the Standard Webhooks specification (version 1.0.0) describes them."""

import base64
import secrets
from datetime import UTC, datetime

from standardwebhooks import Webhook

_PREFIX = "whsec_"
_KEY_BYTES = 32


def new_secret() -> str:
    """A secret of 32 random bytes, as ``whsec_`` and base64."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def signed_headers(*secrets_: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers that a receiver checks; ``timestamp`` in seconds since 1970, ``body`` in UTF-8.

    Each secret makes one signature, and a receiver takes any: so one secret can follow another without a gap.
    """
    at, text = datetime.fromtimestamp(timestamp, UTC), body.decode()
    return {
        "Webhook-Id": message_id,
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": " ".join(Webhook(secret).sign(message_id, at, text) for secret in secrets_),
    }
