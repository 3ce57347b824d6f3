"""A number for a set of values that changes with the set, value by value: equal sets have equal digests."""

import hashlib
from dataclasses import replace
from typing import Any

import msgspec

from proxy.core.policy.cluster import Cluster
from proxy.core.policy.http import NO_FILTERS, Filters, HttpRule
from proxy.core.policy.policy import Destination

_SIZE = 16
_MASK = (1 << 8 * _SIZE) - 1
_encode = msgspec.json.Encoder(order="deterministic", enc_hook=repr).encode
"""Writes every field of a dataclass, and sets in order, so that equal values have equal texts."""


class Digest:
    """The sum of the values' hashes. It tells people and the proxy what is in force; it does not resist forgery."""

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
            plain = outline(value) if isinstance(value, Destination) else value
            self._last = (value, hashlib.blake2b(_encode(plain), digest_size=_SIZE).digest())
        found = hashlib.blake2b(_encode(key) + self._last[1], digest_size=_SIZE).digest()
        return int.from_bytes(found, "big")


def outline(destination: Destination) -> object:
    """The destination with names in place of its rules' clusters, each of which has a digest of its own: a thousand
    rules may send to the same thousand endpoints."""
    if not destination.http_rules:
        return destination
    return replace(destination, http_rules=()), [_outline_of(rule) for rule in destination.http_rules]


def _outline_of(rule: HttpRule) -> object:
    targets = [
        (one.weight, _name(one.cluster), one.unresolved, one.name, _outline_of_filters(one.filters))
        for one in rule.targets
    ]
    return replace(rule, targets=(), filters=NO_FILTERS), targets, _outline_of_filters(rule.filters)


def _outline_of_filters(filters: Filters) -> object:
    mirrors = [(_name(one.cluster), *one[1:]) for one in filters.mirrors]
    return replace(filters, mirrors=()), mirrors


def _name(cluster: Cluster | None) -> str:
    return "" if cluster is None else cluster.name


def of_all(*digests: Digest) -> str:
    """One text for several sets."""
    text = ",".join(f"{one.number:x}" for one in digests)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
