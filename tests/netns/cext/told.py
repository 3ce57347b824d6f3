"""What the engine tells of requests, for tests that wait for it."""

from __future__ import annotations

import time

from cext.engine.exchange_records import FLAGS, ExchangeRecord, records
from cext.engine.exchanges import Exchanges
from tests.netns.cext.engine_world import World, until


class Telling:
    """Keeps the records of requests from its making on."""

    def __init__(self, world: World) -> None:
        self.exchanges = Exchanges(world.engine)
        self.exchanges.keep(True)
        self.seen: list[ExchangeRecord] = []

    def wait(self, count: int) -> list[ExchangeRecord]:
        """Of so many requests, and of no more."""

        self.more(count - len(self.seen))
        time.sleep(0.05)
        self.seen += records(self.exchanges.take(records=True).records)
        assert len(self.seen) == count, "each is told of once"
        return self.seen

    def more(self, count: int) -> list[ExchangeRecord]:
        """Of the next requests, at least so many."""
        before = len(self.seen)

        def enough() -> bool:
            self.seen += records(self.exchanges.take(records=True).records)
            return len(self.seen) - before >= count

        until(enough, f"{count} requests")
        return self.seen[before:]


def letters(record: ExchangeRecord) -> set[str]:
    """The names of a record's flags."""
    return {name for bit, name in enumerate(FLAGS) if record.flags >> bit & 1}
