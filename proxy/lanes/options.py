"""Settings and started sockets, as the lanes want them."""

import socket
from collections.abc import Callable
from dataclasses import replace

from cext.engine.engine import Engine
from cext.engine.values import Log, Original
from proxy.core.decide.explicit import Limits
from proxy.core.lanes import Direction
from proxy.core.policy.policy import Policy
from proxy.core.report.identity import UNKNOWN
from proxy.lanes.parsed.explicit import ExplicitLane, is_own_address
from proxy.lanes.parsed.lane import Asking
from proxy.lanes.parsed.resolver import Resolver
from proxy.lanes.punted.upstream import UpstreamOptions
from proxy.lanes.splice.listening import LaneListener
from proxy.lanes.splice.verdict_table import Defaults
from proxy.settings import InboundOriginalDst, LogFormat, ProxySettings
from proxy.start.bind import BoundListener
from proxy.start.startup import Started
from proxy.telemetry.own import own_identity

_ORIGINAL = {
    InboundOriginalDst.AUTO: Original.AUTO,
    InboundOriginalDst.SOCKOPT: Original.SOCKOPT,
    InboundOriginalDst.SOCKNAME: Original.SOCKNAME,
}


def upstream_options(settings: ProxySettings, started: Started) -> dict[Direction, UpstreamOptions]:
    """Only connections to the workload have a source address of their own."""
    sources = {int(socket.AF_INET6 if ":" in ip else socket.AF_INET): ip for ip in settings.inbound_sources}
    return {
        direction: UpstreamOptions(
            connect_timeout_s=settings.connect_timeout_s,
            keepalive_s=settings.keepalive_s,
            mark=settings.proxy_mark,
            sources=sources if direction is Direction.INBOUND else {},
            announced=settings.announced if direction is Direction.INBOUND else {},
            as_client=started.as_client and direction is Direction.INBOUND,
        )
        for direction in Direction
    }


def lane_defaults(settings: ProxySettings) -> Defaults:
    return Defaults(settings.connect_timeout_s, settings.idle_timeout_s)


def asking(settings: ProxySettings) -> Asking:
    return Asking(settings.filter, settings.ask_all)


def add_headers(engine: Engine, settings: ProxySettings) -> None:
    engine.add_headers(
        forwarded_inbound=Direction.INBOUND in settings.forwarded_for,
        forwarded_outbound=Direction.OUTBOUND in settings.forwarded_for,
        request_id=settings.request_id,
    )


def engine_log(settings: ProxySettings) -> Log:
    """What the engine renders by itself. A supervisor hears of each connection, so there it is nothing."""
    if settings.supervisor_fd is not None:
        return Log.NONE
    return Log.JSON if settings.log_format is LogFormat.JSON else Log.TEXT


def lane_listeners(settings: ProxySettings, started: Started) -> list[LaneListener]:
    def listener(direction: Direction, bound: BoundListener, original: Original) -> LaneListener:
        return LaneListener(
            direction,
            bound,
            original,
            mark=settings.proxy_mark or 0,
            keepalive_s=settings.keepalive_s,
            sources=settings.inbound_sources if direction is Direction.INBOUND else (),
            as_client=started.as_client and direction is Direction.INBOUND,
        )

    found = [
        listener(Direction.OUTBOUND, started.outbound, Original.SOCKOPT),
        listener(Direction.INBOUND, started.inbound, _ORIGINAL[settings.inbound_original_dst]),
    ]
    if started.dns is not None:
        # Over TCP a question is a connection like any other, and its original destination is known.
        found.append(listener(Direction.OUTBOUND, started.dns, Original.SOCKOPT))
    if started.explicit is not None:
        found.append(
            replace(listener(Direction.OUTBOUND, started.explicit, Original.SOCKNAME), explicit=True),
        )
    return found


def explicit_lane(
    engine: Engine, settings: ProxySettings, started: Started, policy: Callable[[], Policy]
) -> ExplicitLane | None:
    """policy: that in force. None: there is no explicit proxy."""
    if started.explicit is None:
        return None
    own = own_identity()
    home = "" if own.namespace == UNKNOWN else own.namespace
    return ExplicitLane(engine, _explicit_limits(settings, started), Resolver(settings.connect_timeout_s), policy, home)


def _explicit_limits(settings: ProxySettings, started: Started) -> Limits:
    """No request may go to a port of ours: the admin port does what the proxy's user asks, and the others would have
    the request come round."""
    listeners = (started.outbound, started.inbound, started.dns, started.explicit)
    services = (started.admin, started.telemetry)
    own = {one.port for one in listeners if one is not None}
    own |= {int(one.getsockname()[1]) for one in services if one is not None}
    return Limits(frozenset(own), is_own_address, settings.explicit_link_local)
