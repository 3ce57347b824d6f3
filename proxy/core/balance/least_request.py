"""Least request: the endpoint with the fewest requests under way for its weight."""


def score(outstanding: int, weight: float) -> float:
    """weight: relative to the heaviest endpoint's, above 0 to 1."""
    return outstanding / weight
