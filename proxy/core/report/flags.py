"""Envoy's response flags: their letters, in the order in which Envoy writes them, and what they mean here."""

from functools import lru_cache

FLAGS = {
    "UH": "no endpoint of the Service is ready",
    "UT": "the answer did not begin in time",
    "LR": "the proxy itself reset the connection",
    "UR": "upstream reset the connection",
    "UF": "no connection to an endpoint could be made",
    "UC": "upstream ended the connection before its answer",
    "UO": "a limit of connections or requests towards the Service is reached",
    "NR": "no route matches the request",
    "DI": "a fault was injected: a delay",
    "FI": "a fault was injected: the answer",
    "RL": "the rate limit is reached",
    "UAEX": "the caller is not authorised",
    "DC": "the client left before it had the whole answer",
    "URX": "all attempts are used up",
    "SI": "the request was idle for too long",
    "IH": "a header has a value that is refused",
    "DPE": "the client broke the protocol",
    "UMSDR": "the request took longer than it may",
    "DT": "the deadline is over",
    "UPE": "upstream broke the protocol",
    "NC": "the route's backend does not exist",
    "OM": "the request was shed: the proxy has no memory to spare",
    "DO": "the request was shed, as its TrafficPolicy asks",
}
NONE = "-"


@lru_cache(maxsize=1024)
def shown_flags(bits: int) -> str:
    """Of a set in which the lowest bit stands for the first flag; `-` where it is empty."""
    return ",".join(letters for number, letters in enumerate(FLAGS) if bits >> number & 1) or NONE
