"""Round robin: whose turn it is in each cluster."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import gcd

from proxy.core.dice import Random

_GOLDEN = 0.618034


class Turns:
    def __init__(self) -> None:
        self._turns: dict[str, int] = {}

    def next(self, cluster: str, weights: Sequence[int], random: Random) -> int:
        """An index into the weights. In each round every index comes up as often as its weight says, spread over the
        round; the first turn of a cluster is a random one, so that many proxies do not begin at the same endpoint."""
        divisor = gcd(*weights)
        ends = list(accumulate(weight // divisor for weight in weights))
        total = ends[-1]
        turn = self._turns.get(cluster)
        turn = int(random() * total) if turn is None else turn + 1
        self._turns[cluster] = turn
        position = turn % total * _stride(total) % total
        return next(index for index, end in enumerate(ends) if position < end)

    def forget(self, clusters: Iterable[str]) -> None:
        for cluster in clusters:
            self._turns.pop(cluster, None)


def _stride(total: int) -> int:
    """Steps of it visit all of 0..total-1 before any again, and the positions of one endpoint far apart."""
    step = max(1, round(total * _GOLDEN))
    while gcd(step, total) != 1:
        step += 1
    return step
