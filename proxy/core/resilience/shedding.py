"""Shedding: a percentage of requests is refused on purpose, by chance, or all requests of a percentage of callers."""

from proxy.core.dice import Random, hash_of, mix
from proxy.core.policy.settings import Shedding

_PARTS = 1 << 53


def is_dropped(settings: Shedding, caller: bytes | None, random: Random) -> bool:
    """caller: the value of `per_header`; a request without the header is dropped by chance. A caller that is dropped at
    a percentage is dropped at every higher one, so turning it up takes no caller back in and lets none alternate."""
    if settings.per_header and caller is not None:
        point = (mix(hash_of(caller) ^ 0xA0761D6478BD642F) >> 11) / _PARTS
    else:
        point = random()
    return point * 100.0 < settings.drop_percent
