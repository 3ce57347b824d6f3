"""Which clusters the sites name, by the numbers that the engine knows them by: what is named by no site may go."""

from collections.abc import Iterable

from proxy.core.lower.to_engine import Site


class ClusterUses:
    """Values only. A publication that ends half-way loses nothing: what is idle stays so until it is taken."""

    def __init__(self) -> None:
        self._by_site: dict[Site, frozenset[int]] = {}
        self._sites: dict[int, set[Site]] = {}
        self._idle: set[int] = set()

    def numbered(self, number: int) -> None:
        """A cluster has a number; it is idle until a site names it."""
        if number not in self._sites:
            self._idle.add(number)

    def put(self, site: Site, numbers: Iterable[int]) -> None:
        """What the site names from now on."""
        before, after = self._by_site.pop(site, frozenset()), frozenset(numbers)
        for number in before - after:
            self._sites[number].discard(site)
            if not self._sites[number]:
                del self._sites[number]
                self._idle.add(number)
        for number in after - before:
            self._sites.setdefault(number, set()).add(site)
        self._idle -= after
        if after:
            self._by_site[site] = after

    def take_idle(self) -> set[int]:
        idle, self._idle = self._idle, set()
        return idle
