"""Who calls: the key of a request is looked up, and addresses from which wrong keys come are slowed down."""

from hashlib import sha256
from time import monotonic

from matching_service.access.policies import Principal
from matching_service.access.service import authenticate
from matching_service.foundation.errors import Bilingual, TooManyRequests, Unauthenticated
from matching_service.store.database import Database

_BURST = 20
_S_PER_KEY = 3.0
"""After ``_BURST`` wrong keys an address may try another one every ``_S_PER_KEY`` seconds."""
_MAX_KNOWN = 10_000


class WrongKeys:
    """Counts wrong keys per address in this process (token bucket).

    A key that was right from an address before stays right there, so that one bad client behind a shared address
    does not shut out the others.
    """

    def __init__(self) -> None:
        self._tokens: dict[str, tuple[float, float]] = {}
        self._right: set[tuple[str, bytes]] = set()

    async def authenticate(self, database: Database, address: str, key: str | None) -> Principal:
        """Return the caller. Raises Unauthenticated, and TooManyRequests before the key is looked up."""
        if not key:
            return await authenticate(database, key)
        known = address, sha256(key.encode("utf-8", "surrogatepass")).digest()
        if known not in self._right and (wait_s := self._wait_s(address)) > 0:
            raise TooManyRequests("too_many_wrong_keys", _TOO_MANY, retry_after_s=int(wait_s) + 1)
        try:
            principal = await authenticate(database, key)
        except Unauthenticated:
            self._right.discard(known)
            self._take(address)
            raise
        if len(self._right) >= _MAX_KNOWN:
            self._right.clear()
        self._right.add(known)
        return principal

    def _left(self, address: str) -> float:
        tokens, at = self._tokens.get(address, (float(_BURST), 0.0))
        return min(_BURST, tokens + (monotonic() - at) / _S_PER_KEY)

    def _wait_s(self, address: str) -> float:
        return max(0.0, 1 - self._left(address)) * _S_PER_KEY

    def _take(self, address: str) -> None:
        left = self._left(address) - 1
        if len(self._tokens) >= _MAX_KNOWN:
            self._tokens.clear()
        self._tokens[address] = left, monotonic()


_TOO_MANY = Bilingual(
    "来自该地址的无效密钥过多，请稍后重试，并检查所用密钥。",
    "Too many wrong keys came from this address; try again later, and check the key.",
)
