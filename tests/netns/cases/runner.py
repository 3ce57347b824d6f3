"""Runs one case on one backend: apply, check, dial, explain, apply again, check again, clean up, compare."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.command_line import Ran
from tests.lab.third_party_proxy import ProxyOptions, ThirdPartyProxy
from tests.netns.cases import judge
from tests.netns.cases.judge import Seen
from tests.netns.cases.model import TELEMETRY, Case, Dial, Direct, address, fill

CHECKED = frozenset(
    {
        "out-all",
        "out-include-cidr+none",
        "in-list",
        "in-none",
        "groups-include",
        "self-calls-hairpin",
        "dns-all",
        "dns-localhost-resolver",
        "iface-exclude",
        "virtual-interfaces",
        "ipv6-off",
        "everything-at-once",
    }
)
"""Cases in which `check` probes, too. It makes a neighbour namespace each time and costs as much as the rest of a case;
TIDEGATE_CHECK_ALL=1 has it in every case."""
CHECK_ALL = os.environ.get("TIDEGATE_CHECK_ALL") == "1"
RESOLV_CONF = "nameserver 10.0.0.53\nnameserver fd00::53\n"


class Runner:
    """Owns the default proxy of a module's cases; `close` ends it. Capture is out of force between cases."""

    def __init__(self, lab: Lab, backend: str) -> None:
        self.lab = lab
        self.backend = backend
        self.lab.resolv_conf = RESOLV_CONF
        self.lab.serve_app()
        self.lab.serve("app", (TELEMETRY,))  # the recorder has no telemetry: this stands for it
        self.lab.serve("guest", (8080,), lab.guest)
        self._keep = contextlib.ExitStack()
        self._default = self._keep.enter_context(lab.proxy(self._options(Case("", (), ()))))
        self.before = lab.snapshot()

    def _options(self, case: Case) -> ProxyOptions:
        return dataclasses.replace(case.proxy, transparent=self.backend == "tproxy")

    def close(self) -> None:
        self._keep.close()

    @contextlib.contextmanager
    def proxy(self, case: Case) -> Iterator[ThirdPartyProxy]:
        options = self._options(case)
        with contextlib.ExitStack() as stack:
            proxy = self._default
            if options != proxy.options:
                proxy = stack.enter_context(self.lab.proxy(options))
            if case.relay:
                proxy.switch("relay")
                stack.callback(proxy.switch, "answer")
            yield proxy

    def run(self, case: Case) -> None:
        self.lab.resolv_conf = case.resolv_conf if case.resolv_conf is not None else RESOLV_CONF
        # To a REDIRECT, a source port that an earlier case used towards another port is taken, and is exchanged.
        self.lab.app.run(["conntrack", "-F"])
        try:
            self._run(case)
        finally:
            self.lab.tidegate("cleanup").ok()
        assert self.lab.changes_since(self.before) == "", "cleanup did not restore the namespace"

    def init(self, case: Case) -> Ran:
        after = ("--", *case.argv_after) if case.argv_after else ()
        flags = [fill(flag) for flag in case.flags]
        return self.lab.tidegate("init", "--mode", self.backend, *flags, *after)

    def _run(self, case: Case) -> None:
        done = self.init(case)
        if done.code == 3 and self.backend in case.may_refuse:
            flag = case.may_refuse[self.backend]
            assert flag in done.err, done
            assert self.backend in done.err, done
            assert self.lab.changes_since(self.before) == "", "init refused and yet changed something"
            pytest.skip(f"cannot express: {flag} under {self.backend}")
        done.ok()
        if case.warns:
            assert case.warns in done.err, done
        with self.proxy(case) as proxy:
            self.lab.adopt(self.backend, proxy)
            self.check(case)
            seen = [self.dial(dial, family, proxy) for dial in case.dials for family in dial.families]
            wrong = [c for one in seen for c in judge.complaints(one, mode=self.backend, relay=case.relay)]
            wrong += self.explanations(case, seen)
            assert not wrong, "\n".join(wrong)
            self.again(case)

    def again(self, case: Case) -> None:
        """Applying the same once more changes nothing, not even a rule's handle; what was in force still is."""
        first = self.lab.snapshot(handles=True)
        self.init(case).ok()
        assert self.lab.changes_since(first, handles=True) == "", "applying it again changed something"
        status = self.lab.tidegate("status", "--json").ok().json
        assert (status["active"], status["mode"], status["drift"]) == (True, self.backend, []), status
        self.check(case)

    def check(self, case: Case) -> None:
        """tidegate's own probes find that capture works, while a proxy that isn't ours listens."""
        if case.id not in CHECKED and not CHECK_ALL:
            return
        probed = self.lab.tidegate("check", "--json").ok().json
        assert probed["ok"] is all(probe["ok"] for probe in probed["probes"]), probed

    def dial(self, dial: Dial, family: int, proxy: ThirdPartyProxy) -> Seen:
        where = {"app": self.lab.app, "peer": self.lab.peer, "guest": self.lab.guest}[dial.where]
        proxy.forget()
        actor = self.lab.actor(dial.who, where)
        ask = actor.udp if dial.udp else actor.tcp
        reply = ask(address(dial.to, family), dial.port, **dial.options)
        records = []
        if reply.line is not None and not dial.udp:
            # by source: connections of `check`'s probes may still be coming in
            source = reply.line["source"] if reply.line["who"] == "proxy" else judge.local_end(reply.raw)
            if not isinstance(dial.expect, Direct):
                proxy.wait_for_record(source=source)
            records = [r for r in proxy.records() if r.get("source") == source and "listener" in r]
        return Seen(dial, family, reply, records)

    def explanations(self, case: Case, seen: list[Seen]) -> list[str]:
        """`explain` of what is in force, and `--intent-only`, held against the case."""
        told = [one for one in seen if one.dial.explained]
        flags = ["--intent-only", "--mode", self.backend, *map(fill, case.flags)]
        in_force = self.lab.tidegate_all([explain(one) for one in told])
        wrong = self.compare(told, in_force)
        if not case.argv_after:
            # an intent is of no namespace yet: inbound is taken to be for it, and nothing forwarded through it
            told = [one for one in told if not one.inbound or one.dial.to.startswith("self")]
            wrong += self.compare(told, self.lab.tidegate_all([[*explain(one), *flags] for one in told]))
        return wrong

    def compare(self, seen: list[Seen], answers: list[Ran]) -> list[str]:
        return [
            complaint
            for one, answer in zip(seen, answers, strict=True)
            for complaint in judge.explain_complaints(one, answer.ok().json, mode=self.backend)
        ]


def explain(seen: Seen) -> list[str]:
    """The arguments that describe this dial to `explain`."""
    dial = seen.dial
    via = ["--interface", dial.via] if dial.via else []
    if not seen.inbound:
        identity = ["--uid", str(dial.who.uid), "--gid", str(dial.who.gid)]
        protocol = "udp" if dial.udp else "tcp"
        return ["explain", "outbound", "--dst", seen.target, "--protocol", protocol, *identity, *via, "--json"]
    source = "peer-net1" if dial.to == "self-net1" else dial.where
    return ["explain", "inbound", "--dst", seen.target, "--src", address(source, seen.family), *via, "--json"]
