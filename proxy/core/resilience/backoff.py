"""How long to wait before a retry: exponentially longer, and by chance, so that those who failed together do not come
back together."""

from proxy.core.dice import Random


def backoff(retry: int, base_s: float, max_s: float, random: Random) -> float:
    """Seconds. retry: 1 for the first one. Anything from 0 up to the limit, which doubles each time."""
    return random() * limit(retry, base_s, max_s)


def limit(retry: int, base_s: float, max_s: float) -> float:
    return float(min(max_s, base_s * 2 ** min(retry - 1, 32)))
