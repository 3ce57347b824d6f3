"""Trees of values that remember their lines. What they are made of is small and immutable once built: a file has
hundreds of thousands."""

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from mesh.yaml.resolve import ScalarValue


class Scalar(msgspec.Struct, gc=False, eq=False):
    """value is what YAML 1.1 (which Kubernetes speaks) makes of the text; text is what stands in the file."""

    line: int
    value: ScalarValue
    text: str


class Sequence(msgspec.Struct, eq=False):
    line: int
    items: list["Node"]


class Mapping(msgspec.Struct, eq=False):
    """fields: key -> (line of the key, value)."""

    line: int
    fields: dict[str, tuple[int, "Node"]]

    def get(self, key: str) -> "Node | None":
        found = self.fields.get(key)
        return None if found is None else found[1]


class Stream(msgspec.Struct, eq=False):
    """The `items` of a document, which may be thousands: each is built when the walk comes to it, and once only."""

    line: int
    items: Iterator["Node"]


Node: TypeAlias = Scalar | Sequence | Mapping | Stream
