"""A plan in iptables-save's notation, by family. Pure."""

from intercept import runs
from intercept.backends.iptables.build import Built, Chain
from intercept.backends.iptables.generation import GATE, Generation, laid_out
from intercept.backends.iptables.survey import TABLES
from intercept.plan.rules import Plan

_BUILT_IN = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}


def render(plan: Plan) -> str:
    """The first generation, as it would be on a clean host, and the ipsets that it needs."""
    generation = laid_out(plan, "", runs.PLAIN, "A")
    lines = [f"# ipset create {generation.tag}_{GATE} bitmap:port range 0-65535"]
    for name, ranges in generation.sets.ports.items():
        members = ",".join(f"{one.first}-{one.last}" for one in ranges)
        lines.append(f"# ipset create {name} bitmap:port range 0-65535: {members}")
    for name, networks in generation.sets.networks.items():
        family = "inet" if networks[0].version == 4 else "inet6"
        lines.append(f"# ipset create {name} hash:net family {family}: {','.join(map(str, networks))}")
    for version, built in generation.built.items():
        lines.append(f"# {'ip6tables' if version == 6 else 'iptables'}-save")
        lines += _tables(generation, built)
    return "\n".join(lines) + "\n"


def _tables(generation: Generation, built: Built) -> list[str]:
    lines = []
    for table in TABLES:
        if table not in built:
            continue
        chains = built[table]
        lines.append(f"*{table}")
        lines += [f":{name} ACCEPT [0:0]" for name in _BUILT_IN[table]]
        lines += [f":{generation.full(suffix)} - [0:0]" for suffix in chains]
        lines += [f"-A {chain.built_in} {_jump(generation, suffix)}" for suffix, chain in _led_to(chains)]
        for suffix, chain in chains.items():
            lines += [f"-A {generation.full(suffix)} {rule.text()}" for rule in chain.rules]
        lines.append("COMMIT")
    return lines


def _led_to(chains: dict[str, Chain]) -> list[tuple[str, Chain]]:
    return [(suffix, chain) for suffix, chain in chains.items() if chain.built_in]


def _jump(generation: Generation, suffix: str) -> str:
    return f"-m set --match-set {generation.tag}_{GATE} dst -j {generation.full(suffix)}"
