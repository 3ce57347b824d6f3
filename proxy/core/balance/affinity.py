"""Session affinity: which endpoint a client belongs to, and for how long."""

from proxy.core.addresses import UpstreamAddress

MAX_CLIENTS = 100_000
"""Clients that are remembered; beyond, the ones that were seen longest ago are forgotten."""


class Affinity:
    """Bounded in clients and in time, so what belongs to a former policy need not be looked for: a client's endpoint
    counts only while the cluster has it."""

    def __init__(self) -> None:
        self._clients: dict[tuple[str, str], tuple[UpstreamAddress, float]] = {}

    def remembered(self, name: str, client: str, now: float) -> UpstreamAddress | None:
        """The endpoint that the client belongs to, as far as the destination or cluster `name` is concerned."""
        found = self._clients.get((name, client))
        if found is None or now >= found[1]:
            return None
        return found[0]

    def remember(self, name: str, client: str, endpoint: UpstreamAddress, until: float) -> None:
        key = (name, client)
        self._clients.pop(key, None)  # put at the end: the first are those seen longest ago
        self._clients[key] = (endpoint, until)
        if len(self._clients) > MAX_CLIENTS:
            del self._clients[next(iter(self._clients))]
