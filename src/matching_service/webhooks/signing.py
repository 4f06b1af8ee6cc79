"""Signatures of webhooks as the Standard Webhooks specification (version 1.0.0) describes them."""

import base64
import hashlib
import hmac
import secrets

_PREFIX = "whsec_"
_KEY_BYTES = 32


def new_secret() -> str:
    """A secret of 32 random bytes, as ``whsec_`` and base64."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def signed_headers(*secrets_: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers that a receiver checks; ``timestamp`` in seconds since 1970.

    Each secret makes one signature, and a receiver takes any: so one secret can follow another without a gap. The key
    is signed with as bytes: the part of the secret after ``whsec_``, decoded from base64.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    keys = (base64.b64decode(secret.removeprefix(_PREFIX), validate=True) for secret in secrets_)
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return {
        "Webhook-Id": message_id,
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }
