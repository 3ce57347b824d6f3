"""A few intents and the text that each backend makes of them, kept as files; golden/README.md has the command."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest

from intercept import capture
from intercept.host.facts import HostFacts
from intercept.intent.from_flags import intent_from_flags
from intercept.intent.intent import Mode
from intercept.plan.build import build

GOLDEN = Path(__file__).with_name("golden")
HOST = HostFacts(resolvers=("10.0.0.53", "fd00::53"))

INTENTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "lists": {
        "include-outbound-cidrs": "192.0.2.0/24,2001:db8::/32",
        "exclude-outbound-cidrs": "192.0.2.7",
        "include-outbound-ports": "5432",
        "exclude-outbound-ports": "22,8000-8100",
        "include-inbound-ports": "80,443",
        "exclude-inbound-cidrs": "10.7.0.0/16",
        "exclude-outbound-gids": "888",
        "exclude-outbound-for": ("tcp:5432:7",),
        "proxy-mark": "0x99",
    },
    "long-lists": {
        "exclude-outbound-cidrs": "10.1.0.0/16,10.2.0.0/16,10.3.0.0/16,10.4.0.0/16,fd00:1::/32",
        "exclude-outbound-ports": ",".join(str(port) for port in range(1, 60, 2)),
        "exclude-inbound-ports": ",".join(f"{port}-{port + 1}" for port in range(100, 200, 10)),
    },
    "dns-open-hairpin": {"dns": "all", "when-down": "open", "self-calls": "hairpin", "drop-invalid": True},
    "dns-resolvers-ipv4": {"dns": "resolvers", "ipv6": "off", "self-calls": "bypass"},
    "interfaces": {"exclude-interfaces": "eth7,eth8", "virtual-interfaces": "br-pods"},
    "cgroup": {"cgroup": "shop/web", "include-inbound-ports": ""},
}
MODES = (Mode.NFTABLES, Mode.IPTABLES, Mode.TPROXY, Mode.EBPF)
# Programs have no interfaces to name: the mode refuses such an intent.
KEPT = [(mode, name) for mode in MODES for name in INTENTS if (mode, name) != (Mode.EBPF, "interfaces")]


@pytest.mark.parametrize(("mode", "name"), KEPT)
def test_rules_are_those_that_were_reviewed(request: pytest.FixtureRequest, mode: Mode, name: str) -> None:
    intent = intent_from_flags(INTENTS[name], cgroup_mount="/sys/fs/cgroup")
    made = capture.render(build(intent, HOST, mode))
    path = GOLDEN / str(mode) / f"{name}.txt"
    if request.config.getoption("--write-golden"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(made)
    kept = path.read_text() if path.exists() else ""
    where = str(path.relative_to(GOLDEN))
    diff = difflib.unified_diff(kept.splitlines(), made.splitlines(), f"{where}, kept", f"{where}, made", lineterm="")
    assert made == kept, "\n".join(["see golden/README.md", *diff])


def test_no_text_is_kept_that_nothing_makes() -> None:
    kept = {str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*.txt")}
    assert kept == {f"{mode}/{name}.txt" for mode, name in KEPT}
