"""A number for a set of values that changes with the set, value by value: equal sets have equal digests."""

import hashlib
from typing import Any

import msgspec

_SIZE = 16
_MASK = (1 << 8 * _SIZE) - 1
_encode = msgspec.json.Encoder(order="deterministic", enc_hook=repr).encode
"""Of every field of a dataclass. Sets come in order, so that equal values have equal texts."""


class Digest:
    """The sum of the values' hashes. Not meant against forgery: it tells people and the proxy what is in force."""

    def __init__(self) -> None:
        self.number = 0
        self._last: tuple[Any, bytes] = (None, b"")
        """The value that was hashed last: many keys in a row share one."""

    def put_in(self, key: object, value: object) -> None:
        self.number = (self.number + self._hash(key, value)) & _MASK

    def take_out(self, key: object, value: object) -> None:
        self.number = (self.number - self._hash(key, value)) & _MASK

    def _hash(self, key: object, value: object) -> int:
        if value is not self._last[0] or value is None:
            self._last = (value, hashlib.blake2b(_encode(value), digest_size=_SIZE).digest())
        found = hashlib.blake2b(_encode(key) + self._last[1], digest_size=_SIZE).digest()
        return int.from_bytes(found, "big")


def of_all(*digests: Digest) -> str:
    """One text for several sets."""
    text = ",".join(f"{one.number:x}" for one in digests)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
