"""Connected pairs on their way to the engine.

REDIRECT has a trap. When a captured connection ends with a reset from our side, conntrack keeps its entry, with the
redirection, for ten seconds; if meanwhile the kernel gives the client's port to an upstream connection of ours to the
same destination, that one is redirected by the old entry, whatever the rules say: we have dialled ourselves. It shows
as soon as the listener has accepted it, which is before its queue is empty again. So pairs that were connected while a
listener accepts wait here until it has accepted all there is: who has dialled us is found before a byte is relayed,
and simply connects again from another port. A loop made by the rules looks the same, but does not go away.
"""

from collections.abc import Callable

from proxy.io.connection import Connection


class Handover:
    """Belongs to the event loop. give hands a connection to the engine."""

    def __init__(self, give: Callable[[Connection], None]) -> None:
        self._give = give
        self._accepting = False
        self._held: dict[int, Connection] = {}

    def accepting(self) -> None:
        """A listener has accepted a connection, and will say when it has no more."""
        self._accepting = True

    def accepted_all(self) -> None:
        """The listener's queue is empty, or it has done its share for this time (a flood is not worth the wait)."""
        self._accepting = False
        held, self._held = self._held, {}
        for connection in held.values():
            self._give(connection)

    def connected(self, connection: Connection) -> None:
        if self._accepting:
            self._held[connection.id] = connection
        else:
            self._give(connection)

    def take_back(self, id_: int | None) -> Connection | None:
        """The connection of this id if it is still held; now it is no more."""
        return None if id_ is None else self._held.pop(id_, None)
