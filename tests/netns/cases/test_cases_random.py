"""`explain --intent-only` held to the kernel: random intents, random connections, on every backend."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

from tests.lab import Lab
from tests.lab.actor import Reply
from tests.lab.patience import patient
from tests.lab.third_party_proxy import ProxyOptions, ThirdPartyProxy
from tests.netns.cases.random_intents import OWN, Attempt, attempts, command_lines

pytestmark = pytest.mark.kernel

# What is wrong names the flags and the connection, so a minimal example is worth its minutes to a person only.
PHASES = tuple(Phase) if os.environ.get("TIDEGATE_SHRINK") else (Phase.explicit, Phase.reuse, Phase.generate)
EXAMPLES = int(os.environ.get("TIDEGATE_EXAMPLES", "40"))
AT_MOST_S = patient(max(15.0, EXAMPLES / 3))
AT_LEAST = 8


@pytest.fixture(scope="module")
def proxy(backend: str, lab: Lab) -> Iterator[ThirdPartyProxy]:
    lab.resolv_conf = "nameserver 10.0.0.1\nnameserver fd00::1\n"
    lab.serve_app()
    with lab.proxy(ProxyOptions(transparent=backend == "tproxy")) as made:
        yield made
    lab.tidegate("cleanup").ok()


def test_explain_says_what_the_kernel_does(lab: Lab, backend: str, proxy: ThirdPartyProxy) -> None:
    started = time.monotonic()
    tried = 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
        print_blob=True,
        phases=PHASES,
    )
    @given(flags=command_lines(), wanted=attempts)
    def holds(flags: tuple[str, ...], wanted: list[Attempt]) -> None:
        nonlocal tried
        if time.monotonic() - started > AT_MOST_S and tried >= AT_LEAST and not failing:
            return  # enough for this run; each run draws others
        tried += 1
        note(f"tidegate init --mode {backend} {' '.join(flags)}")
        lab.tidegate("init", "--mode", backend, *flags).ok()
        lab.adopt(backend, proxy)
        intent = ["--intent-only", "--mode", backend, *flags]
        told = [ran.ok().json for ran in lab.tidegate_all([[*one.explain(), *intent] for one in wanted])]
        seen = dial(lab, wanted)
        wrong = [
            f"{one}: explained as {decision}, but {what}: {reply}"
            for one, decision, reply in zip(wanted, told, seen, strict=True)
            if (what := differs(one, decision, reply))
        ]
        if wrong:
            failing.append(wrong)
        assert not wrong, "\n".join(wrong)

    failing: list[list[str]] = []
    holds()
    assert tried >= AT_LEAST


def dial(lab: Lab, wanted: list[Attempt]) -> list[Reply]:
    """All attempts, in one request for each actor; the replies in the order of the attempts."""
    places = {"app": lab.app, "peer": lab.peer, "guest": lab.guest}
    groups: dict[Any, list[int]] = {}
    for index, one in enumerate(wanted):
        groups.setdefault((one.where, one.who), []).append(index)
    replies: dict[int, Reply] = {}
    for (where, who), indexes in groups.items():
        answers = lab.actor(who, places[where]).many([wanted[index].request() for index in indexes])
        replies |= dict(zip(indexes, answers, strict=True))
    return [replies[index] for index in range(len(wanted))]


def differs(attempt: Attempt, explained: Mapping[str, Any], reply: Reply) -> str:
    """How the outcome contradicts the explanation; empty when it doesn't."""
    line = reply.line or {}
    by_proxy = line.get("who") == "proxy"
    match explained["decision"]:
        case "capture":
            if not by_proxy:
                return "it was not captured"
            if attempt.udp:
                return ""
            if line["listener"] != explained["listener"]:
                return f"it came to the listener on {line['listener']}"
            named = (line["original"], line["sockname"])
            return "" if attempt.target in named else f"the original destination became {named}"
        case "direct":
            if by_proxy and attempt.to in OWN and line["sockname"] == attempt.target:
                return ""  # dialled straight, and what serves there is the proxy
            if by_proxy:
                return "it was captured"
            if attempt.served:
                return "" if line.get("at") == attempt.target else "it did not reach its target"
            return "" if reply.status == "refused" else "nobody serves there, and yet it was not refused"
        case _:
            return "" if reply.status == "refused" else "it was not refused"
