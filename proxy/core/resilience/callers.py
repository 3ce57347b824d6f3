"""Rates per caller: a bucket of tokens for each value of a header, in memory that does not grow with the callers.

A bucket is the moment at which it will be full again. A caller that is not remembered has a full one, so forgetting
the fullest of some buckets costs least. Only where as many callers as there is room for are all using up their buckets
at once does one get more than its rate."""

from proxy.core.dice import hash_of

SETS = 16384
WAYS = 4
"""Callers of one set share so many places."""


class CallerBuckets:
    """per_s: tokens a second in the long run; burst: at once. The engine's are cext/engine/limits/callers.c."""

    def __init__(self, per_s: float, burst: int, sets: int = SETS) -> None:
        self._price_s = 1.0 / per_s
        self._depth_s = burst / per_s
        self._sets = sets
        self._places: dict[int, list[tuple[int, float]]] = {}
        """By set: (the caller's hash, when its bucket will be full again)."""

    def __len__(self) -> int:
        return sum(map(len, self._places.values()))

    def take(self, caller: bytes, now: float) -> float | None:
        """None: admitted. Otherwise after how many seconds there will be a token (Retry-After)."""
        key = hash_of(caller)
        places = self._places.setdefault(key % self._sets, [])
        found = next((one for one in places if one[0] == key), None)
        full_at = max(now, now if found is None else found[1]) + self._price_s
        over = full_at - now - self._depth_s
        if over > 1e-9:
            return over
        if found is not None:
            places.remove(found)
        elif len(places) == WAYS:
            places.remove(min(places, key=lambda one: one[1]))
        places.append((key, full_at))
        return None
