"""Power of two choices: two endpoints are drawn by weight, and the one with the lower score is taken.

Looking at two is enough to keep the most loaded endpoint near the mean, and two proxies that see the same loads do not
both run to the same endpoint."""

from collections.abc import Callable

from proxy.core.balance.excluded import Excluded
from proxy.core.dice import Dice

DRAWS = 8
"""How many draws may come to nothing before all endpoints are looked at in turn."""

Admits = Callable[[int], bool]
"""Whether an endpoint may be given one more request."""
Score = Callable[[int], float]
"""Of an endpoint; the lower, the better."""


def pick_of_two(excluded: Excluded, admits: Admits, score: Score, dice: Dice) -> int | None:
    """Where both score equally the first one drawn is taken, so equal scores keep to the weights. None: nothing that
    admits a request has been found. `excluded` gets what was drawn in vain."""
    for _ in range(DRAWS):
        first = excluded.draw(dice.next())
        if first is None or not excluded.add(first):
            return None
        second = excluded.draw(dice.next())
        fit = [index for index in (first, second) if index is not None and admits(index)]
        if fit:
            return min(fit, key=score)
        if second is not None:
            excluded.add(second)
    return None


def pick_random(excluded: Excluded, admits: Admits, dice: Dice) -> int | None:
    """One by weight; None: nothing that admits a request has been found."""
    for _ in range(DRAWS):
        index = excluded.draw(dice.next())
        if index is None or admits(index):
            return index
        if not excluded.add(index):
            return None
    return None
