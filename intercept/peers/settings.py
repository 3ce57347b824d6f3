"""One tool's settings, from wherever they were given, read with the tool's own precedence; and what lists come to.

Everything is pure. `where` of each value names the flag, variable or file key, so that every message does.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv6Address, ip_address, ip_network

from intercept.errors import BadInput
from intercept.intent import parsing
from intercept.intent.intent import IdRange, Listeners, Network, PortRange
from intercept.peers.goflags import Flag, Given, Kind, Values, check, go_bool, go_int

_PREFIXED = re.compile(r"[^/%]+/[0-9]{1,3}", re.ASCII)


class Settings:
    """Layers by long flag name, the strongest first. Reading a boolean or number that isn't one raises BadInput."""

    def __init__(self, tool: str, known: Sequence[Flag], layers: Sequence[Values]) -> None:
        self._tool = tool
        self._layers = layers
        self.notes: list[str] = []
        kinds = {flag.name: flag.kind for flag in known}
        for layer in layers:
            for name, values in layer.items():
                for given in values:
                    check(kinds.get(name, Kind.TEXT), given)
        for flag in known:
            if flag.ignored and self.values(flag.name):
                self.note(f"{self.values(flag.name)[-1].where} has no meaning here and is ignored")

    def note(self, text: str) -> None:
        self.notes.append(f"--from {self._tool}: {text}")

    def values(self, name: str) -> list[Given]:
        """Every value of the strongest layer that has any."""
        return next((layer[name] for layer in self._layers if layer.get(name)), [])

    def value(self, name: str) -> Given | None:
        values = self.values(name)
        return values[-1] if values else None

    def given(self, name: str, default: str) -> Given:
        return self.value(name) or Given(f"--{name}", default)

    def text(self, name: str, default: str = "") -> str:
        return self.given(name, default).text

    def switch(self, name: str, default: bool = False) -> bool:
        value = self.value(name)
        return default if value is None else go_bool(value)

    def number(self, name: str, default: int) -> int:
        value = self.value(name)
        return default if value is None else go_int(value)

    def joined(self, name: str) -> Given:
        """All values of a list flag as one comma-separated text."""
        values = self.values(name)
        return Given(values[0].where if values else f"--{name}", ",".join(value.text for value in values))

    def networks(self, given: Given) -> tuple[Network, ...]:
        """These tools' libraries mask host bits in silence; here it is done aloud."""
        tokens = []
        for token in parsing.items(given.text):
            masked = masked_network(token)
            if masked != token:
                self.note(f"{given.where}: {token} has host bits below the mask; {masked} is meant")
            tokens.append(masked)
        return parsing.networks(given.where, ",".join(tokens))

    def networks_or_all(self, given: Given) -> tuple[Network, ...] | None:
        return None if given.text.strip() == parsing.EVERYTHING else self.networks(given)


def masked_network(token: str) -> str:
    """The network meant by ADDRESS/LENGTH; any other text, right or wrong, comes back as it is."""
    if not _PREFIXED.fullmatch(token):
        return token
    try:
        address = ip_address(token.partition("/")[0])
        network = ip_network(token, strict=False)
    except ValueError:
        return token
    mapped = isinstance(address, IPv6Address) and address.ipv4_mapped is not None
    return token if mapped or address == network.network_address else str(network)


def port(given: Given) -> int:
    return parsing.port(given.where, given.text)


def ports(given: Given) -> tuple[PortRange, ...]:
    return parsing.ports(given.where, given.text)


def ports_or_all(given: Given) -> tuple[PortRange, ...] | None:
    return parsing.ports_or_all(given.where, given.text)


def ids(given: Given) -> tuple[int, ...]:
    return parsing.ids(given.where, given.text)


def id_ranges(given: Given) -> tuple[IdRange, ...]:
    return parsing.id_ranges(given.where, given.text)


def interfaces(given: Given) -> tuple[str, ...]:
    return parsing.interfaces(given.where, given.text)


def united(*parts: Iterable[PortRange]) -> tuple[PortRange, ...]:
    """Several lists as one canonical list."""
    spans = ",".join(f"{one.first}-{one.last}" for part in parts for one in part)
    return parsing.ports("ports", spans)


def listeners(outbound: Given, inbound: Given, dns: Given | None = None) -> Listeners:
    """Where to steer to. Raises BadInput for two listeners on one port."""
    defaults = Listeners()
    chosen = {"telemetry": Given("", str(defaults.telemetry)), "dns": dns or Given("", str(defaults.dns))}
    numbers = {name: port(given) for name, given in chosen.items()}
    for name, given in (("outbound", outbound), ("inbound", inbound)):
        number = port(given)
        taken = next((other for other, value in numbers.items() if value == number), None)
        if taken is not None:
            raise BadInput(given.where, given.text, f"a port other than the {taken} listener's")
        numbers[name] = number
    return Listeners(**numbers)
