"""Gradual loss and recovery of weight by what an endpoint answers: the user's table of statuses and factors.

A second in which every answer has the status brings the weight to that factor of what it was; one in which half of them
have it, half of the way there. Without such answers the weight grows back."""

from collections.abc import Mapping

RECOVERY_PER_S = 0.05
"""Of the whole weight: from nothing to all of it in twenty seconds."""
LEAST = 0.01
"""An endpoint keeps a hundredth, or nothing would ever tell that it is well again."""


def after_answers(
    factor: float, table: Mapping[int, float], statuses: Mapping[int, int], answered: int, elapsed_s: float
) -> float:
    """The factor of an endpoint's weight, LEAST to 1. statuses: how often each came in the last `elapsed_s` seconds
    among `answered` answers."""
    total = max(answered, sum(statuses.values()))
    kept = 1.0 - sum(count * (1.0 - table[status]) for status, count in statuses.items() if status in table) / max(
        1, total
    )
    if kept >= 1.0:
        return min(1.0, factor + RECOVERY_PER_S * elapsed_s)
    return float(max(LEAST, factor * kept**elapsed_s))
