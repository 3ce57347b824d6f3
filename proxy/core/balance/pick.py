"""Choosing an endpoint for a request, by any method: the definition that cext/engine/balance/pick.c is held to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proxy.core.balance.excluded import Excluded
from proxy.core.balance.hashed import HashTable, pick_hashed
from proxy.core.balance.of_two import Admits, Score, pick_of_two, pick_random
from proxy.core.dice import Dice

Method = Callable[[Excluded, Admits, Dice], int | None]
TRIED = 16
"""How many of the endpoints tried before are taken into account: the last ones."""


@dataclass(frozen=True, slots=True)
class Full:
    """All endpoints that may be used are at their limits."""


FULL = Full()


def of_two(score: Score) -> Method:
    return lambda excluded, admits, dice: pick_of_two(excluded, admits, score, dice)


AT_RANDOM: Method = pick_random


def by_hash(table: HashTable, key_hash: int) -> Method:
    return lambda excluded, admits, _: pick_hashed(table, key_hash, excluded, admits)


def pick(
    weights: Sequence[int],
    admits: Admits,
    method: Method,
    *,
    dice: Dice,
    tried: Sequence[int] = (),
    ends: Sequence[int] | None = None,
) -> int | Full | None:
    """An index into the weights; None: no endpoint has a weight. tried: endpoints that the request was sent to before;
    one of them comes only where there is no other. ends: see Excluded."""
    excluded, begun = Excluded(weights, ends), Excluded(weights, ends)
    if not excluded.total:
        return None
    for index in tried[-TRIED:]:
        excluded.add(index)
        begun.add(index)
    if excluded.weight == excluded.total:
        excluded, begun = Excluded(weights, ends), Excluded(weights, ends)
    found = method(excluded, admits, dice)
    return _any(weights, admits, begun, dice) if found is None else found


def _any(weights: Sequence[int], admits: Admits, tried: Excluded, dice: Dice) -> int | Full:
    """Whichever admits a request, from a random one on: first those that are not tried yet."""
    begin = dice.below(len(weights))
    fit = [index for step in range(len(weights)) if weights[index := (begin + step) % len(weights)] and admits(index)]
    fresh = [index for index in fit if index not in tried]
    return fresh[0] if fresh else fit[-1] if fit else FULL
