"""What is counted of an endpoint, in whichever lane."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class EndpointCounts:
    """What the engine or the kernel has counted of an endpoint; only the smoothed round trip ever decreases."""

    opened: int = 0
    closed: int = 0
    failed: int = 0
    denied: int = 0
    limited: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    retransmits: int = 0
    srtt_us: int = 0

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "EndpointCounts":
        """Raises ValueError when it is not what we expect to be told."""
        names = cls.__slots__
        values = {name: told.get(name, 0) for name in names}
        wrong = [name for name, value in values.items() if type(value) is not int or value < 0]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no count: {values[wrong[0]]!r}")
        return cls(**values)

    def is_behind(self, other: "EndpointCounts") -> bool:
        """Whether some count is lower than that of `other`, and so counted from another beginning."""
        return any(getattr(self, name) < getattr(other, name) for name in self.__slots__ if name != "srtt_us")

    def __add__(self, other: "EndpointCounts") -> "EndpointCounts":
        total = {name: getattr(self, name) + getattr(other, name) for name in self.__slots__}
        return replace(EndpointCounts(**total), srtt_us=other.srtt_us or self.srtt_us)
