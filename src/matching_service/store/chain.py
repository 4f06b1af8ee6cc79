"""The chain of the audit log: each row holds a digest of itself and of the row before it.

A changed row breaks its own digest, a missing one leaves a hole in the numbers and breaks the next digest. A cut end
shows only against a head that was noted elsewhere, such as in the log of every night.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import orjson

START = "0" * 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def chained(rows: Sequence[Mapping[str, Any]], seq: int, digest: str) -> list[dict[str, Any]]:
    """Return the rows with their ``seq`` and ``digest``, in order after the row with this number and digest."""
    linked: list[dict[str, Any]] = []
    for row in rows:
        seq += 1
        digest = digest_of(digest, {**row, "seq": seq})
        linked.append({**row, "seq": seq, "digest": digest})
    return linked


def digest_of(before: str, row: Mapping[str, Any]) -> str:
    """SHA-256 in hexadecimal of the digest before and of all columns of the row, written as JSON in one way."""
    values = [
        row["seq"],
        row["id"],
        (row["at"] - _EPOCH) // _MICROSECOND,
        *(row[name] for name in ("actor_id", "action", "entity", "entity_id", "request_id", "address", "detail")),
    ]
    return sha256(before.encode() + orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()
