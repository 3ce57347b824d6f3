"""Handing connected pairs to the C engine, and learning from it how they end."""

from collections.abc import Callable

from cext.engine.engine import Completion, Engine, Reason
from proxy.core.close_reason import CloseReason
from proxy.core.lanes import Direction
from proxy.core.report.record import RELAYING
from proxy.lanes.punted.connection import Connection

_REASONS = {
    Reason.FINISHED: CloseReason.FINISHED,
    Reason.DOWNSTREAM_RESET: CloseReason.DOWNSTREAM_RESET,
    Reason.UPSTREAM_RESET: CloseReason.UPSTREAM_RESET,
    Reason.IDLE_TIMEOUT: CloseReason.IDLE_TIMEOUT,
    Reason.LIFETIME: CloseReason.LIFETIME,
    Reason.ABORTED: CloseReason.DRAIN_DEADLINE,
    Reason.INTERNAL_ERROR: CloseReason.INTERNAL_ERROR,
}
"""Only a drain's deadline aborts relays."""

BATCH = 256
"""Completions handled a wake-up, so that the listeners get their turn; the descriptor stays readable if more wait."""


class Relays:
    """Relays under way in the engine. Belongs to the event loop."""

    def __init__(
        self,
        engine: Engine,
        idle_timeout_s: float,
        on_ended: Callable[[Connection, CloseReason], None],
    ) -> None:
        self._engine = engine
        self._idle_timeout_ms = int(idle_timeout_s * 1000)
        self._on_ended = on_ended
        self._relaying: dict[int, Connection] = {}

    def start(self, connection: Connection) -> None:
        """Give both sockets to the engine. Raises OSError, and then the connection still owns them."""
        downstream, upstream = connection.downstream, connection.upstream
        if downstream is None or upstream is None:
            raise ValueError(f"connection {connection.id} owns no pair of sockets")
        limits = connection.verdict.timeouts
        self._engine.relay(
            connection.id,
            downstream.fileno(),
            upstream.fileno(),
            idle_timeout_ms=self._idle_timeout_ms if limits.idle_s is None else _milliseconds(limits.idle_s),
            lifetime_ms=0 if limits.lifetime_s is None else _milliseconds(limits.lifetime_s),
            punted=True,
        )
        # The engine closes the descriptors from now on: ours must forget them, not close them a second time.
        downstream.detach()
        upstream.detach()
        connection.downstream = connection.upstream = None
        connection.state = RELAYING
        self._relaying[connection.id] = connection

    def collect(self) -> None:
        """Take in a batch of what has ended; the engine's descriptor stays readable while there is more."""
        for completion in self._engine.completions(BATCH):
            self._ended(completion)

    def refresh(self) -> list[Connection]:
        """All relays under way, their byte counts brought up to date."""
        for live in self._engine.live():
            connection = self._relaying.get(live.id)
            if connection is not None:
                connection.to_upstream = live.bytes_sent
                connection.to_downstream = live.bytes_received
        return list(self._relaying.values())

    def abort_all(self) -> None:
        """Reset both sides of every relay; they end as any other, through `on_ended`."""
        for id_ in list(self._relaying):
            self._engine.abort(id_)

    def settle_all(self) -> None:
        """The workload has ended: see `Engine.settle`."""
        for id_, connection in self._relaying.items():
            self._engine.settle(id_, upstream_gone=connection.direction is Direction.INBOUND)

    def collect_all(self) -> None:
        """After the engine's close: the last completions."""
        while ended := self._engine.completions(BATCH):
            for completion in ended:
                self._ended(completion)

    def _ended(self, completion: Completion) -> None:
        connection = self._relaying.pop(completion.id)
        connection.to_upstream = completion.bytes_sent
        connection.to_downstream = completion.bytes_received
        self._on_ended(connection, _REASONS[completion.reason])


def _milliseconds(seconds: float) -> int:
    """At least 1: the engine takes 0 for no limit."""
    return max(1, round(seconds * 1000))
