"""A plan as hooks and map contents, for `--dry-run`. Pure: no privilege, no kernel."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from bpf import attach
from bpf.attach import Where
from intercept.backends.ebpf.policy import captures_dns
from intercept.intent.intent import IdRange, Intent, Network, PortRange
from intercept.plan.rules import Plan

_Value = TypeVar("_Value")


def render(plan: Plan) -> str:
    return "\n".join([*_hooks(plan), "", *_maps(plan)]) + "\n"


def _hooks(plan: Plan) -> Iterator[str]:
    cgroup = plan.intent.cgroup
    anchors = {
        Where.WORKLOAD: f"cgroup {cgroup}" if cgroup is not None else "the top of the cgroup namespace",
        Where.TOP: "the top of the cgroup namespace",
        Where.NETNS: "this network namespace",
    }
    yield "hooks:"
    for hook in attach.wanted(dns=captures_dns(plan), scoped=cgroup is not None):
        yield f"  {hook.name} on {anchors[hook.where]}: {hook.does}"


def _maps(plan: Plan) -> Iterator[str]:
    intent = plan.intent
    listeners, outbound, inbound, exempt = intent.listeners, intent.outbound, intent.inbound, intent.exempt
    yield "policy:"
    yield f"  listeners: outbound {listeners.outbound}, inbound {listeners.inbound}, telemetry {listeners.telemetry}"
    yield f"  dns: {f'to {listeners.dns}' if captures_dns(plan) else 'not captured'} (--dns {intent.dns})"
    yield f"  self-calls: {intent.self_calls}; when-down: {intent.when_down}; ipv6: {intent.ipv6}"
    yield f"  out-exclude ports: {_ports(outbound.exclude_ports)}"
    yield f"  out-include ports: {_ports(outbound.include_ports)}"
    yield f"  in-include ports: {_all_or(inbound.include_ports, _ports)}"
    yield f"  in-exclude ports: {_ports(inbound.exclude_ports)}"
    yield "networks and identities:"
    yield "  own: this namespace's addresses, read when it is put in force"
    yield f"  out-include: {_all_or(outbound.include_cidrs, _networks)}"
    yield f"  out-exclude: {_networks(outbound.exclude_cidrs)}"
    yield f"  in-exclude sources: {_networks(inbound.exclude_cidrs)}"
    yield f"  resolvers: {', '.join(plan.resolvers) or 'none'}"
    yield f"  exempt: uids {_numbers(exempt.uids)}; gids {_numbers(exempt.gids)}; mark {_mark(intent)}"
    yield f"  exempt sources: {', '.join(exempt.sources) or 'none'}"
    yield f"  include gids: {_all_or(outbound.include_gids, _ids)}"
    yield f"  exclude gids: {_ids(outbound.exclude_gids)}"
    for one in outbound.exclude_for:
        protocols = "+".join(sorted(one.protocols))
        yield f"  exclude-outbound-for: {protocols} ports {_ports(one.ports)} uids {_ids(one.uids)}"


def _mark(intent: Intent) -> str:
    return "none" if intent.exempt.mark is None else f"{intent.exempt.mark:#x}"


def _all_or(values: tuple[_Value, ...] | None, shown: Callable[[tuple[_Value, ...]], str]) -> str:
    return "all" if values is None else shown(values)


def _ranges(ranges: Iterable[PortRange | IdRange]) -> str:
    return ", ".join(str(r.first) if r.first == r.last else f"{r.first}-{r.last}" for r in ranges) or "none"


def _ports(ranges: tuple[PortRange, ...]) -> str:
    return _ranges(ranges)


def _ids(ranges: tuple[IdRange, ...]) -> str:
    return _ranges(ranges)


def _networks(networks: tuple[Network, ...]) -> str:
    return ", ".join(map(str, networks)) or "none"


def _numbers(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers)) or "none"
