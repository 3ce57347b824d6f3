"""The explicit proxy: where requests are to go that name a host, as the engine asks."""

import asyncio
import socket
from collections.abc import Callable

from cext.engine.engine import Engine
from cext.engine.exchange_records import FLAGS
from cext.engine.lookups import Lookup, Lookups
from cext.engine.values import SocketAddress
from proxy.core.addresses import Address
from proxy.core.decide.explicit import Authority, BadAuthority, Limits, Refused, ServicePlaces, parse_authority
from proxy.core.policy.policy import NO_POLICY, Policy
from proxy.lanes.parsed.resolver import Resolver, TooManyNames, Unresolved

LASTS_S = 1.0
"""For how long an answer holds for other requests to the same authority on a connection."""


class ExplicitLane:
    """Belongs to the event loop. Answers questions from `start` to `close`."""

    def __init__(
        self, engine: Engine, limits: Limits, resolver: Resolver, policy: Callable[[], Policy], home: str
    ) -> None:
        """policy: that in force. home: the workload's own namespace; empty: it is not known."""
        self._lookups = Lookups(engine)
        self._limits = limits
        self._resolver = resolver
        self._home = home
        self._policy = policy
        self._places = ServicePlaces(NO_POLICY, home)
        self._places_of = NO_POLICY
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        loop.add_reader(self._lookups.fd, self._answer_all)

    def close(self) -> None:
        """Before the engine's close."""
        if self._loop is not None:
            self._loop.remove_reader(self._lookups.fd)
        for task in self._tasks:
            task.cancel()
        self._resolver.close()

    def _answer_all(self) -> None:
        for lookup in self._lookups.take():
            try:
                wanted = parse_authority(lookup.authority.decode("ascii", "replace"), lookup.default_port)
            except BadAuthority as bad:
                self._refuse(lookup, Refused(400, "DPE", str(bad)))
                continue
            found = self._known(wanted)
            if found is None:
                self._begin(lookup, wanted)
            else:
                self._tell(lookup, found)

    def _known(self, wanted: Authority) -> list[Address] | Refused | None:
        """What need not be resolved; None: it need be."""
        if wanted.is_address:
            try:
                scope = _interface(wanted.zone)
            except OSError:
                return Refused(400, "DPE", "there is no interface of that name or number")
            return [Address(wanted.host, wanted.port, scope)]
        if self._places_of is not (policy := self._policy()):
            self._places, self._places_of = ServicePlaces(policy, self._home), policy
        return self._places.find(wanted.host, wanted.port)

    def _begin(self, lookup: Lookup, wanted: Authority) -> None:
        task = asyncio.ensure_future(self._resolve(lookup, wanted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _resolve(self, lookup: Lookup, wanted: Authority) -> None:
        try:
            found: list[Address] | Refused = await self._resolver.resolve(wanted.host, wanted.port)
        except TooManyNames as wrong:
            found = Refused(503, "UO", str(wrong))
        except Unresolved as wrong:
            found = Refused(503, "UF", str(wrong))
        self._tell(lookup, found)

    def _tell(self, lookup: Lookup, found: list[Address] | Refused) -> None:
        if not isinstance(found, Refused):
            found = self._limits.allowed(found, None if lookup.client is None else lookup.client.ip)
        if isinstance(found, Refused):
            self._refuse(lookup, found)
        else:
            self._lookups.found(lookup, [SocketAddress(one.ip, one.port, one.scope) for one in found], LASTS_S)

    def _refuse(self, lookup: Lookup, refused: Refused) -> None:
        self._lookups.refuse(lookup, refused.status, _bit(refused.flag), refused.text)


def _bit(flag: str) -> int:
    return 1 << FLAGS.index(flag) if flag else 0


def _interface(zone: str) -> int:
    """Raises OSError."""
    if not zone:
        return 0
    return int(zone) if zone.isascii() and zone.isdigit() else socket.if_nametoindex(zone)


def is_own_address(ip: str) -> bool:
    """Whether packets to the address stay in this network namespace: the kernel would send them from it. Sends
    nothing."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((ip, 9))
        except OSError:
            return False
        return bool(probe.getsockname()[0].partition("%")[0] == ip)
