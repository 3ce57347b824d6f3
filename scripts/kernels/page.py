"""docs/kernels.md out of the results of guests. Pure."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

_BACKENDS = ("nftables", "iptables", "tproxy", "ebpf")
_HEAD = """# Other kernels

Written by `make kernels` (scripts/kernels): each kernel is Debian's own package, booted under QEMU without KVM on the
machine's file system, one CPU. `tidegate doctor` tells there what works; then a part of the tests runs
(scripts/kernels/suites.py says which): each backend from end to end, the engine, a proxied connection; nothing that
asserts a time, nothing that needs minutes of a real CPU. Where it says no, the reason stands below.
"""


def page(results: Sequence[Mapping[str, Any]], hosts: str = "") -> str:
    """One result a kernel: `kernel`, `package`, `release`, `doctor`, `steps`, `boot_s`, `total_s`.

    `hosts`: what is told of hosts whose kernel is not the matter, as it stands at the end.
    """
    plain = _plain(results)
    restricted = [one for one in results if one not in plain]
    parts = [_HEAD, _backends(plain), _lanes(plain), _hooks(plain), _tests(plain), _reasons(plain)]
    parts += [_restricted(restricted), hosts]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts if part)


def overview(results: Sequence[Mapping[str, Any]]) -> str:
    """The README's table: backends and lanes of each kernel."""
    rows = []
    for one in _plain(results):
        lanes = (_whole(_step(one, step)) for step in ("splice", "parsed", "direct"))
        rows.append([_title(one), *(_backend(one, name) for name in _BACKENDS), *lanes, _auto(one)])
    return _table(["kernel", *_BACKENDS, "splice lane", "parsed lane", "direct lane (ebpf)", "`auto` takes"], rows)


def _plain(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [one for one in results if not one.get("arguments")]


def _restricted(results: Sequence[Mapping[str, Any]]) -> str:
    if not results:
        return ""
    rows = []
    for one in results:
        modes = (one.get("doctor") or {}).get("modes", ())
        works = ", ".join(each["mode"] for each in modes if each["works"]) or "none"
        rows.append([" ".join(one["arguments"]), _title(one), works, _auto(one), _counted(_step(one, "restricted"))])
    head = ["booted with", "kernel", "modes that work", "`auto` takes", "tests (tests/vm): passed, failed, skipped"]
    return "## Restricted by boot parameters\n\n" + _table(head, rows) + _reasons(results).replace("## Why not\n", "")


def _backends(results: Sequence[Mapping[str, Any]]) -> str:
    names = _names(results, "modes", "mode") or list(_BACKENDS)
    rows = [[_title(one), *(_backend(one, name) for name in names), _auto(one)] for one in results]
    return "## Backends\n\n" + _table(["kernel", *names, "`auto` takes"], rows)


def _backend(one: Mapping[str, Any], name: str) -> str:
    """What a test saw from end to end, else what doctor says."""
    seen = (_step(one, "capture").get("each") or {}).get(f"test_capture_from_end_to_end[{name}]")
    if seen == "passed":
        return "yes"
    if seen == "failed":
        return "fails its test"
    return _yes(_entry(one, "modes", "mode", name))


def _lanes(results: Sequence[Mapping[str, Any]]) -> str:
    """Only what ran in the guest: a lane that no step tries is not claimed."""
    steps = ("engine", "splice", "parsed", "direct")
    rows = [[_title(one), *(_whole(_step(one, step)) for step in steps)] for one in results]
    told = (
        "The engine by itself, connections through the proxy, requests that rules decide, and connections that the "
        "kernel balances without the proxy."
    )
    return f"## Lanes\n\n{told}\n\n" + _table(["kernel", "splice: engine", "splice: proxy", "parsed", "direct"], rows)


def _whole(step: Mapping[str, Any]) -> str:
    if "passed" not in step:
        return "not run"
    return "yes" if step["code"] == 0 else "time was up" if step["code"] is None else "fails a test"


def _hooks(results: Sequence[Mapping[str, Any]]) -> str:
    names = _names(results, "hooks", "hook")
    if not names:
        return ""
    rows = [
        [f"{name} (since {_since(results, name)})", *(_yes(_entry(one, "hooks", "hook", name)) for one in results)]
        for name in names
    ]
    return "## Hooks\n\n" + _table(["hook", *(_title(one) for one in results)], rows)


def _tests(results: Sequence[Mapping[str, Any]]) -> str:
    steps = list(dict.fromkeys(step["step"] for one in results for step in one["steps"]))
    rows = []
    for name in steps:
        row = [name]
        for one in results:
            step = _step(one, name)
            row.append(_counted(step))
        rows.append(row)
        rows += _each(results, name)
    took = [f"{one['boot_s']:.0f} s, {one['total_s'] / 60:.1f} min" for one in results]
    rows.append(["boot, all of it", *took])
    return "## Tests: passed, failed, skipped\n\n" + _table(["", *(_title(one) for one in results)], rows)


def _each(results: Sequence[Mapping[str, Any]], name: str) -> list[list[str]]:
    """A row for each backend that the step's tests were run with."""
    all_of_it = [_step(one, name).get("each") or {} for one in results]
    found = (re.search(r"\[(\w+)\]$", test) for each in all_of_it for test in each)
    backends = dict.fromkeys(match[1] for match in found if match and match[1] in _BACKENDS)
    return [
        [
            f"{name}, {backend}",
            *(", ".join(kind for test, kind in each.items() if f"[{backend}]" in test) for each in all_of_it),
        ]
        for backend in backends
    ]


def _reasons(results: Sequence[Mapping[str, Any]]) -> str:
    """Each with the kernels it holds for, so that what is the same everywhere is said once."""
    said: dict[str, list[str]] = {}
    for one in results:
        for line in _reasons_of(one):
            said.setdefault(line, []).append(_title(one))
    if not said:
        return ""
    return "## Why not\n\n" + "".join(_item(f"{', '.join(where)}: {line}") for line, where in said.items())


def _item(text: str) -> str:
    """One item of a list, broken where a line of prose ends."""
    return textwrap.fill(text, 120, initial_indent="* ", subsequent_indent="  ", break_on_hyphens=False) + "\n"


def _reasons_of(one: Mapping[str, Any]) -> list[str]:
    doctor = one.get("doctor") or {}
    lines = [f"{each['mode']}: {_line(each['reason'])}" for each in doctor.get("modes", ()) if not each["works"]]
    lines += [f"hook {each['hook']}: {_line(each['reason'])}" for each in doctor.get("hooks", ()) if not each["works"]]
    lines += [
        f"{each['name']} (since {each['since']}): {each['without']}"
        for each in doctor.get("features", ())
        if not each["works"]
    ]
    if not doctor:
        lines.append("`tidegate doctor` gave no answer")
    for step in one["steps"]:
        for test in step.get("not_passed", ()):
            if test["outcome"] == "failed":
                lines.append(f"`{step['step']}` {test['test']} failed: {_line(test['reason'])[:200]}")
    return lines


def _names(results: Sequence[Mapping[str, Any]], kind: str, key: str) -> list[str]:
    return list(dict.fromkeys(each[key] for one in results for each in (one.get("doctor") or {}).get(kind, ())))


def _entry(one: Mapping[str, Any], kind: str, key: str, name: str) -> Mapping[str, Any] | None:
    """None: not told, or trying it hadn't ended when time was up, which says nothing of the kernel."""
    doctor = one.get("doctor") or {}
    if any(line.startswith(f"{name}:") for line in doctor.get("untried", ())):
        return None
    return next((each for each in doctor.get(kind, ()) if each[key] == name), None)


def _since(results: Sequence[Mapping[str, Any]], name: str) -> str:
    return next(str(entry["since"]) for one in results if (entry := _entry(one, "hooks", "hook", name)))


def _step(one: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next((step for step in one["steps"] if step["step"] == name), {})


def _counted(step: Mapping[str, Any]) -> str:
    if "passed" not in step:
        return "no result" if step else "not run"
    counts = ", ".join(str(step[kind]) for kind in ("passed", "failed", "skipped"))
    return counts if step["code"] is not None else f"{counts} (time was up)"


def _auto(one: Mapping[str, Any]) -> str:
    return str(((one.get("doctor") or {}).get("auto") or {}).get("mode") or "nothing")


def _title(one: Mapping[str, Any]) -> str:
    return ".".join(str(one["release"]).split("-")[0].split("+")[0].split(".")[:2])


def _yes(entry: Mapping[str, Any] | None) -> str:
    return "?" if entry is None else "yes" if entry["works"] else "no"


def _line(text: str | None) -> str:
    return " ".join((text or "no reason given").split()).replace("|", "\\|")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
