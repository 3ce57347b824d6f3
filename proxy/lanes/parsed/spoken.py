"""What is told about a connection whose protocol was looked at. The engine's lines of the access log say the same
(cext/engine/tell/log.c)."""

from dataclasses import replace

from cext.engine.values import Speaks, Spoken
from proxy.core.decide.verdict import Verdict
from proxy.core.lanes import Lane, Speaking

SPEAKS = {Speaking.OPAQUE: Speaks.OPAQUE, Speaking.DETECTED: Speaks.DETECT, Speaking.HTTP: Speaks.HTTP}
_PROTOCOLS = {Spoken.HTTP1: "http/1.1", Spoken.HTTP2: "http/2", Spoken.TLS: "tls"}


def protocol_of(spoken: Spoken) -> str:
    return _PROTOCOLS.get(spoken, "tcp")


def told(verdict: Verdict, spoken: Spoken) -> Verdict:
    """The verdict on a connection of a destination that is not opaque: only HTTP/1 is parsed, all else is spliced."""
    return replace(
        verdict,
        protocol=protocol_of(spoken),
        lane=Lane.PARSED if spoken is Spoken.HTTP1 else Lane.SPLICE,
    )
