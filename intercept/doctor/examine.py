"""What this host offers to capture, tried for real: `examine` gathers it, `intercept.doctor.advice` says what to do.

Everything tried is taken away again. Works on the network namespace that the caller is in.
"""

from collections.abc import Mapping
from typing import Any

from intercept.backends import MODULES, backend
from intercept.choose_mode import PREFERENCE
from intercept.doctor import host as this_host
from intercept.doctor.advice import advise
from intercept.doctor.trials import LIMIT_S, Outcome, run_all
from intercept.errors import CaptureError
from intercept.host.facts import HostFacts, read_host
from intercept.intent.intent import Intent, Mode
from intercept.plan.build import build


def examine(limit_s: float = LIMIT_S) -> dict[str, Any]:
    """The whole report. `ok`: some mode works; `auto`: the mode that `init` would take without flags, and why.

    limit_s: for all trials together; what hasn't ended by then doesn't work here.
    """
    host = read_host()
    outcomes = run_all(
        [
            {"tproxy": lambda: _available(Mode.TPROXY)},  # alone: pyroute2 takes longest
            {"ebpf": lambda: _available(Mode.EBPF), "hooks": _hooks},
            {"nftables": _netfilter, "iptables": lambda: _available(Mode.IPTABLES)},
        ],
        limit_s,
    )
    nftables, hooks = outcomes["nftables"].value or {}, outcomes["hooks"].value or {}
    modes = [_mode(mode, outcomes[str(mode)]) for mode in MODULES]
    report: dict[str, Any] = {
        "ok": any(mode["works"] for mode in modes),
        "auto": choice(modes, host),
        "modes": modes,
        "hooks": hooks.get("hooks", []),
        "features": hooks.get("features", []),
        "kernel": this_host.kernel(),
        "privileges": this_host.privileges(),
        "cgroup": this_host.cgroup(),
        "bpffs": hooks.get("bpffs"),
        "settings": this_host.settings(),
        "limits": this_host.limits(),
        "network": {
            "loopback_up": this_host.loopback_is_up(),
            "ipv6_missing": host.ipv6_missing,
            "interfaces": list(host.interfaces),
        },
        "tools": this_host.tools(),
        "neighbours": {"rules": nftables.get("rules"), "programs": hooks.get("programs")},
        "untried": [f"{name}: {outcome.trouble}" for name, outcome in outcomes.items() if outcome.trouble],
    }
    report["advice"] = advise(report)
    return report


def choice(modes: list[dict[str, Any]], host: HostFacts) -> dict[str, Any]:
    """As `choose_mode.choose_mode` chooses, from trials made already: {"mode": str | None, "why": str}."""
    works = {mode["mode"]: mode for mode in modes}
    passed: list[str] = []
    for mode in PREFERENCE:
        reason = works[str(mode)]["reason"]
        if reason is None:
            try:
                build(Intent(), host, mode)
            except CaptureError as error:
                reason = str(error)
        if reason is None:
            why = "the best that works here" + (f"; passed over: {'; '.join(passed)}" if passed else "")
            return {"mode": str(mode), "why": why}
        passed.append(f"{mode}: {reason}")
    return {"mode": None, "why": "no mode works here: " + "; ".join(passed)}


def _mode(mode: Mode, outcome: Outcome) -> dict[str, Any]:
    told: Mapping[str, Any] = outcome.value or {}
    reason = outcome.trouble or told.get("reason")
    return {"mode": str(mode), "works": reason is None, "reason": reason, "ms": round(outcome.ms)}


def _available(mode: Mode) -> dict[str, Any]:
    try:
        return {"reason": backend(mode).available()}
    except CaptureError as error:
        return {"reason": str(error)}


def _netfilter() -> dict[str, Any]:
    """And whose rules stand here, through the same binding."""
    told = _available(Mode.NFTABLES)
    try:
        from intercept.doctor import neighbours

        return {**told, "rules": neighbours.rules()}
    except CaptureError:
        return told  # who may not look at rules has been told so as the reason


def _hooks() -> dict[str, Any]:
    from intercept.doctor import hooks, neighbours

    return {
        "hooks": hooks.try_hooks(),
        "features": hooks.try_features(),
        "bpffs": hooks.bpffs_mounted(),
        "programs": neighbours.programs(),
    }
