"""Signatures of webhooks by the Standard Webhooks specification, version 1.0.0."""

import base64
import secrets
from datetime import UTC, datetime

from standardwebhooks import Webhook

_PREFIX = "whsec_"
_KEY_BYTES = 32


def new_secret() -> str:
    """Return a secret of 32 random bytes: ``whsec_`` followed by base64."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def signed_headers(*secrets_: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers that a receiver checks.

    timestamp : seconds since 1970.
    body : UTF-8.
    Each secret makes one signature. A receiver accepts any of them, so that secrets can be changed without a gap.
    """
    at, text = datetime.fromtimestamp(timestamp, UTC), body.decode()
    return {
        "Webhook-Id": message_id,
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": " ".join(Webhook(secret).sign(message_id, at, text) for secret in secrets_),
    }
