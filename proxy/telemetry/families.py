"""The client library's metrics, rendered piece by piece: a family of ten thousand series takes it longer than the event
loop has time."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

Encode = Callable[[CollectorRegistry], bytes]
SAMPLES = 100
"""That are rendered at a time: about two milliseconds of work with Istio's two dozen labels."""
END = b"# EOF\n"
"""What an OpenMetrics page ends with."""


class _One(CollectorRegistry):
    """A registry of one family."""

    def __init__(self, family: Metric) -> None:
        super().__init__(auto_describe=False)
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


def family_slices(family: Metric, encode: Encode) -> Iterator[bytes]:
    """One family, without the page's end."""
    samples = family.samples
    for begin in range(0, max(1, len(samples)), SAMPLES):
        part = Metric(family.name, family.documentation, family.type, family.unit)
        part.samples = samples[begin : begin + SAMPLES]
        text = encode(_One(part)).removesuffix(END)
        yield text if begin == 0 else _without_header(text)


def _without_header(text: bytes) -> bytes:
    return b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(b"#"))
