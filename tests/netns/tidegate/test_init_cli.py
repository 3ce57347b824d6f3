"""`init`'s command line: what is refused and how, dry runs, privilege, backends, look-ups."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BACKENDS
from tests.lab import Lab
from tests.lab.command_line import BINARY
from tests.lab.patience import patient
from tests.netns.cases.refusals import CASES, Refusal

pytestmark = pytest.mark.kernel


@pytest.fixture
def clean(lab: Lab) -> Iterator[None]:
    """Capture is out of force afterwards."""
    lab.resolv_conf = None
    yield
    lab.tidegate("cleanup").ok()


def test_what_is_refused_names_flag_and_token_and_changes_nothing(lab: Lab) -> None:
    """One test for the whole table: a snapshot around each of 150 command lines would cost more than it tells."""
    before = lab.snapshot(handles=True)
    wrong = []
    for case in CASES:
        ran = lab.tidegate("init", *case.flags)
        if ran.code != 2 or case.names not in ran.err or case.token not in ran.err:
            wrong.append(f"{case.id}: wanted 2, {case.names} and {case.token!r}: {ran}")
        if "Traceback" in ran.err:
            wrong.append(f"{case.id}: a traceback: {ran}")
    assert not wrong, "\n".join(wrong)
    assert lab.changes_since(before, handles=True) == ""


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("case", [CASES[0], CASES[5], CASES[-1]], ids=lambda case: case.id)
def test_a_refusal_leaves_what_is_in_force(lab: Lab, case: Refusal) -> None:
    lab.tidegate("init", "--mode", "nftables", "--exclude-outbound-ports", "22").ok()
    before = lab.snapshot(handles=True)
    lab.tidegate("init", "--mode", "nftables", *case.flags).ended(2)
    assert lab.changes_since(before, handles=True) == ""


ACCEPTED = {
    "cidr-whitespace-and-trailing-comma": (
        "--include-outbound-cidrs= 1.1.1.0/24 ,fd00::/8 ,",
        "--include-outbound-ports=6000,7000,",
    ),
    "empty-items": ("--exclude-outbound-ports", ",, 22 ,,"),
    "mask-0": ("--include-outbound-cidrs", "0.0.0.0/0,::/0"),
    "duplicates": (
        "--exclude-outbound-cidrs",
        "10.0.0.0/8,10.0.0.0/8,10.1.0.0/16",
        "--exclude-outbound-ports",
        "1,1,1-3",
    ),
    "uid-alone": ("--exclude-outbound-for", "123"),
    "uid-many": ("--exclude-outbound-for", "tcp:80,443:1,2-5", "--exclude-outbound-for", "*:*:7"),
    "all-ports": ("--exclude-outbound-ports", "1-65535", "--include-inbound-ports", "1-65535"),
    "mixed-families": ("--exclude-inbound-cidrs", "10.0.0.0/8,2001:db8::/32,::1,127.0.0.1"),
    "largest-uid": ("--proxy-uid", "4294967294,0", "--proxy-gid", "4294967294"),
    "marks": ("--proxy-mark", "0xffffffff", "--tproxy-mark", "0x1", "--tproxy-table", "4294967295"),
}


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("flags", ACCEPTED.values(), ids=list(ACCEPTED))
def test_what_is_accepted_on_every_backend(lab: Lab, backend: str, flags: tuple[str, ...]) -> None:
    lab.tidegate("init", "--mode", backend, *flags).ok()
    assert lab.tidegate("status", "--json").ok().json["mode"] == backend


@pytest.mark.usefixtures("clean")
def test_ten_thousand_entries(lab: Lab, backend: str) -> None:
    before = lab.snapshot()
    fours = [f"10.{n >> 8}.{n & 255}.0/24" for n in range(0, 16_000, 2)]
    sixes = [f"2001:db8:{n:x}::/48" for n in range(0, 4_000, 2)]
    ports = ",".join(str(port) for port in range(1024, 41_024, 4))
    flags = ("--exclude-outbound-cidrs", ",".join(fours + sixes), "--exclude-inbound-ports", ports)
    init = ("init", "--mode", backend, *flags)
    ran = lab.tidegate(*init, timeout=60).ok()
    assert ran.ms < patient(20_000), f"{ran.ms:.0f} ms"
    assert lab.actor().tcp("10.0.0.1", 80).who == "peer"
    assert lab.actor().tcp("192.0.2.1", 80).status == "refused", "nobody listens: a captured connection is refused"
    first = lab.snapshot(handles=True)
    lab.tidegate(*init, timeout=60).ok()
    assert lab.changes_since(first, handles=True) == ""
    lab.tidegate("cleanup").ok()
    assert lab.changes_since(before) == ""


def test_dry_run_needs_no_privilege_and_changes_nothing(lab: Lab, backend: str) -> None:
    before = lab.snapshot(handles=True)
    flags = ("--mode", backend, "--exclude-outbound-cidrs", "192.0.2.0/24,2001:db8::/32", "--dns", "all")
    ran = lab.tidegate("init", *flags, "--dry-run", uid=1000).ok()
    assert lab.changes_since(before, handles=True) == ""
    for part in ("192.0.2.0/24", "2001:db8::/32", "15001", "15006", "15053"):
        assert part in ran.out, f"the full plan of both families should have {part}: {ran}"
    assert lab.tidegate("init", *flags, "--dry-run").ok().out == ran.out, "root is shown another plan"
    assert lab.tidegate("init", *flags, "--dry-run", "--json", uid=1000).ok().json


def test_dry_run_works_with_no_tools_installed(lab: Lab, backend: str) -> None:
    """Neither iptables nor nft nor anything else is on PATH, or anywhere a library would look."""
    hidden = (f"mount --bind {lab.folder} {place}" for place in ("/usr/sbin", "/sbin") if Path(place).is_dir())
    script = f"{' && '.join(hidden)} && exec env PATH=/nowhere {BINARY} init --mode {backend} --dry-run"
    ran = lab.app.run(["unshare", "-m", "sh", "-c", script], check=False)
    assert ran.returncode == 0, ran.stderr
    assert "15001" in ran.stdout


def test_without_privilege_it_names_the_capability(lab: Lab, backend: str) -> None:
    before = lab.snapshot(handles=True)
    ran = lab.tidegate("init", "--mode", backend, uid=1000).ended(4)
    assert "CAP_" in ran.err, ran
    assert lab.changes_since(before, handles=True) == ""
    cleanup = lab.tidegate("cleanup", uid=1000)
    assert cleanup.code in (0, 4), cleanup


def test_cleanup_with_nothing_in_force_says_so(lab: Lab) -> None:
    before = lab.snapshot(handles=True)
    assert "nothing" in lab.tidegate("cleanup").ok().out
    assert lab.changes_since(before, handles=True) == ""
    assert lab.tidegate("status", "--json").ok().json["active"] is False


@pytest.mark.usefixtures("clean")
def test_auto_takes_the_best_and_says_which_and_why(lab: Lab) -> None:
    ran = lab.tidegate("init").ok()
    mode = lab.tidegate("status", "--json").ok().json["mode"]
    assert mode in BACKENDS
    assert mode in ran.out
    first = lab.snapshot(handles=True)
    lab.tidegate("init").ok()
    assert lab.changes_since(first, handles=True) == "", "auto chose or did something else the second time"


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("flag", ["--exclude-interfaces", "--virtual-interfaces"])
def test_auto_passes_over_a_mode_that_cannot_do_what_is_asked(lab: Lab, flag: str) -> None:
    ran = lab.tidegate("init", flag, "eth9", "--json").ok()
    assert ran.json["mode"] == "nftables"
    assert f"ebpf: {flag} is not possible in ebpf mode" in ran.json["why"]
    assert lab.tidegate("status", "--json").ok().json["mode"] == "nftables"


@pytest.mark.usefixtures("clean")
def test_netns_flag_works_from_outside(lab: Lab, backend: str) -> None:
    from tests.lab.lab import zygote

    for where in (lab.app.name, str(lab.app.path)):
        zygote().run(None, ["init", "--netns", where, "--mode", backend]).ok()
        assert lab.tidegate("status", "--json").ok().json["mode"] == backend
        assert zygote().run(None, ["status", "--netns", where, "--json"]).ok().json["active"] is True
        told = zygote().run(
            None,
            ["explain", "outbound", "--netns", where, "--dst", "10.0.0.1:80", "--uid", "1", "--gid", "1", "--json"],
        )
        assert told.ok().json["decision"] == "capture"
        zygote().run(None, ["cleanup", "--netns", where]).ok()
        assert lab.tidegate("status", "--json").ok().json["active"] is False
    missing = zygote().run(None, ["init", "--netns", "no-such-namespace"])
    assert missing.code in (1, 2), missing
    assert "no-such-namespace" in missing.err


@pytest.mark.usefixtures("clean")
def test_no_name_is_looked_up(lab: Lab, backend: str) -> None:
    """istio#48416: a name service that blocks must not hold up numeric ids. So none is asked, no file of it opened."""
    trace = lab.folder / f"nss-{backend}.trace"
    prefix = ("strace", "-f", "-o", str(trace), "-e", "trace=open,openat,connect")
    lab.tidegate_binary("init", "--mode", backend, "--proxy-uid", "1337,5", prefix=prefix, timeout=60).ok()
    asked = [
        line
        for line in trace.read_text().splitlines()
        if any(
            name in line
            for name in ("nsswitch.conf", "/etc/passwd", "/etc/group", "/etc/services", "nscd", "libnss_", "/etc/hosts")
        )
    ]
    assert asked == []


@pytest.mark.usefixtures("clean")
def test_nftables_is_in_force_within_its_budget(lab: Lab) -> None:
    """150 ms on an idle machine (bench/capture.py); here only an order of magnitude, because the machine is shared."""
    times = sorted(lab.tidegate_binary("init", "--mode", "nftables").ok().ms for _ in range(5))
    assert times[2] < patient(1000), times


def test_every_command_has_help() -> None:
    for command in ("init", "cleanup", "status", "check", "explain", "adopt", "doctor", "run", "proxy", "config"):
        done = subprocess.run([BINARY, command, "--help"], capture_output=True, text=True, check=False, timeout=20)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert "Usage" in done.stdout
