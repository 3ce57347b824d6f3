"""Membership in a set of networks, in a handful of look-ups however many there are."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address


@dataclass(frozen=True, slots=True)
class NetworkSet:
    """Immutable. `networks` is what it was made of, as text, sorted."""

    networks: tuple[str, ...] = ()
    _by_shift: tuple[tuple[int, int, frozenset[int]], ...] = field(default=(), repr=False)
    """(IP version, bits to drop, prefixes): one entry for each prefix length in use."""

    @classmethod
    def of(cls, networks: Iterable[IPv4Network | IPv6Network]) -> "NetworkSet":
        found: dict[tuple[int, int], set[int]] = {}
        distinct = set(networks)
        for one in distinct:
            shift = one.max_prefixlen - one.prefixlen
            found.setdefault((one.version, shift), set()).add(int(one.network_address) >> shift)
        table = tuple((version, shift, frozenset(prefixes)) for (version, shift), prefixes in sorted(found.items()))
        return cls(tuple(sorted(str(one) for one in distinct)), table)

    def __bool__(self) -> bool:
        return bool(self._by_shift)

    def __or__(self, other: "NetworkSet") -> "NetworkSet":
        merged: dict[tuple[int, int], frozenset[int]] = {}
        for version, shift, prefixes in (*self._by_shift, *other._by_shift):
            merged[version, shift] = merged.get((version, shift), frozenset()) | prefixes
        names = tuple(sorted({*self.networks, *other.networks}))
        return NetworkSet(names, tuple((v, s, prefixes) for (v, s), prefixes in sorted(merged.items())))

    def __contains__(self, ip: str) -> bool:
        """ip is canonical text without a zone."""
        if not self._by_shift:
            return False
        address = ip_address(ip)
        value, version = int(address), address.version
        return any(version == v and value >> shift in prefixes for v, shift, prefixes in self._by_shift)
