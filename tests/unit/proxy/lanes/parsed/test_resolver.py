import asyncio
import threading
from collections.abc import Iterator

import pytest

from proxy.core.addresses import Address
from proxy.lanes.parsed import resolver
from proxy.lanes.parsed.explicit import is_own_address
from proxy.lanes.parsed.resolver import Resolver, TooManyNames, Unresolved


class Names:
    """Stands for the C library: answers when it is let go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = threading.Event()
        self.open.set()

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        self.open.wait(20)
        return [] if host.startswith("no-") else ["10.0.0.1", "fd00::1"]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    one = Names()
    monkeypatch.setattr(resolver, "_addresses", one)
    yield one
    one.open.set()


def test_a_name_is_looked_up_once_for_all_who_ask(names: Names) -> None:
    async def ask() -> None:
        names.open.clear()
        both = [asyncio.ensure_future(one.resolve("a", port)) for port in (80, 81)]
        await asyncio.sleep(0.05)
        names.open.set()
        assert await asyncio.gather(*both) == [
            [Address("10.0.0.1", port), Address("fd00::1", port)] for port in (80, 81)
        ]
        await one.resolve("a", 82)

    one = Resolver(20)
    asyncio.run(ask())
    assert names.asked == ["a"]
    one.close()


def test_answers_are_forgotten_in_time(names: Names) -> None:
    async def ask() -> None:
        nonlocal now
        for wait in (0.0, 4.9, 0.2):
            now += wait
            await one.resolve("a", 80)
        for wait in (0.0, 0.9, 0.2):
            now += wait
            with pytest.raises(Unresolved):
                await one.resolve("no-a", 80)

    now = 100.0
    one = Resolver(20, lambda: now)
    asyncio.run(ask())
    assert names.asked == ["a", "a", "no-a", "no-a"]
    one.close()


def test_what_takes_too_long_and_what_is_too_much(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "MOST_WAITING", 1)

    async def ask() -> None:
        names.open.clear()
        first = asyncio.ensure_future(one.resolve("a", 80))
        await asyncio.sleep(0)
        with pytest.raises(TooManyNames):
            await one.resolve("b", 80)
        with pytest.raises(Unresolved, match="in time"):
            await first
        names.open.set()

    one = Resolver(0.2)
    asyncio.run(ask())
    one.close()


def test_names_and_own_addresses_of_this_host() -> None:
    one = Resolver(20)
    found = asyncio.run(one.resolve("localhost", 80))
    assert Address("127.0.0.1", 80) in found or Address("::1", 80) in found
    assert is_own_address("127.0.0.1")
    assert not is_own_address("192.0.2.1")
    with pytest.raises(Unresolved):
        asyncio.run(one.resolve("a" * 64 + ".invalid", 80))
    one.close()
