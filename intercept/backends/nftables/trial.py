"""Whether nftables can do what capture needs: judged by a scratch table that is never committed."""

from intercept.backends.nftables.session import Session
from intercept.errors import CaptureError

_SCRATCH = "tidegate_scratch"


def available(*, lasting: bool = True) -> str | None:  # noqa: ARG001 # a backend's signature
    """Judges a scratch table that is never committed."""
    try:
        with Session() as session:
            session.try_out(_scratch(), "try the expressions that capture needs")
    except CaptureError as error:
        return str(error)
    return None


def lacks_tproxy() -> str | None:
    """Why TPROXY can't be used here, or None."""
    try:
        with Session() as session:
            session.try_out(
                _scratch("meta l4proto tcp tproxy to :9 accept\nsocket transparent 1 accept\n"), "try TPROXY"
            )
    except CaptureError as error:
        return str(error)
    return None


def _scratch(more: str = "") -> str:
    return (
        f"table inet {_SCRATCH} {{\n"
        "set p {\ntype inet_service\nflags interval\nelements = { 1-2 }\n}\n"
        "chain o {\ntype nat hook output priority -100; policy accept;\n"
        "fib daddr type local tcp dport @p tcp flags & (fin|syn|rst|ack) == syn redirect to :9\n}\n"
        "chain g {\ntype filter hook prerouting priority -150; policy accept;\n"
        "ct state invalid drop\nmeta l4proto tcp reject with tcp reset\n" + more + "}\n"
        "}\n"
    )
