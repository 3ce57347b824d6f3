"""`init --from`: what else a tool's flags can ask for than to put capture in force; environment; refusals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.actor import Identity
from tests.lab.lab import zygote
from tests.lab.snapshot import Snapshot
from tests.lab.third_party_proxy import ProxyOptions

pytestmark = pytest.mark.kernel

EVERYTHING = ("-i", "*", "-b", "*")
PROXY = Identity(1337, 1337)


@pytest.fixture
def before(lab: Lab) -> Iterator[Snapshot]:
    """The namespace as it was; afterwards it has to be so again."""
    lab.serve_app()
    snapshot = lab.snapshot()
    yield snapshot
    lab.tidegate("cleanup").ok()
    assert lab.changes_since(snapshot) == ""


def test_minus_m_tproxy_keeps_the_source(lab: Lab, before: Snapshot) -> None:
    done = lab.tidegate("init", "--json", "--from", "istio", "--", "-m", "TPROXY", *EVERYTHING).ok().json
    assert (done["mode"], done["from"]) == ("tproxy", "istio")
    with lab.proxy(ProxyOptions(transparent=True)) as proxy:
        for target, wanted in (("10.0.0.2", "10.0.0.2:8080"), ("fd00::2", "[fd00::2]:8080")):
            reply = lab.actor(Identity(0, 0), lab.peer).tcp(target, 8080, source_port=45678)
            assert reply.who == "proxy", reply
            record = proxy.wait_for_record(sockname=wanted)
            assert record is not None
            assert record["listener"] == 15006
            assert record["source"].endswith(":45678")
        assert lab.actor().tcp("192.0.2.1", 80).who == "proxy"


def test_our_mode_wins_and_says_so(lab: Lab, before: Snapshot) -> None:
    argv = ("init", "--mode", "nftables", "--json", "--from", "istio", "--", "-m", "TPROXY", *EVERYTHING)
    done = lab.tidegate(*argv).ok()
    assert done.json["mode"] == "nftables"
    assert "--mode nftables is taken, not tproxy" in done.err


def test_the_environment_alone(lab: Lab, before: Snapshot) -> None:
    environ = {"ISTIO_SERVICE_CIDR": "*", "ISTIO_INBOUND_PORTS": "*", "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE": "888"}
    lab.tidegate("init", "--mode", "nftables", "--from", "istio", env=environ).ok()
    with lab.proxy():
        assert lab.actor().tcp("192.0.2.1", 80).who == "proxy"
        assert lab.actor(Identity(1000, 888)).tcp("192.0.2.1", 80).who == "peer"


def test_without_the_tools_own_flags_nothing_is_captured(lab: Lab, before: Snapshot) -> None:
    lab.tidegate("init", "--mode", "nftables", "--from", "istio").ok()
    with lab.proxy():
        assert lab.actor().tcp("192.0.2.1", 80).who == "peer"


def test_what_somebody_else_put_on_the_loopback_interface_stays(lab: Lab) -> None:
    lab.app.run(["ip", "-6", "address", "add", "::6/128", "dev", "lo"])
    try:
        snapshot = lab.snapshot()
        lab.tidegate("init", "--mode", "nftables", "--from", "istio", "--", *EVERYTHING).ok()
        lab.tidegate("cleanup").ok()
        assert lab.changes_since(snapshot) == ""
    finally:
        lab.app.run(["ip", "-6", "address", "del", "::6/128", "dev", "lo"])


def test_the_address_comes_back_and_goes(lab: Lab, before: Snapshot) -> None:
    argv = ("init", "--mode", "nftables", "--json", "--from", "istio", "--", *EVERYTHING)
    assert lab.tidegate(*argv).ok().json["changed"] is True
    assert lab.tidegate(*argv).ok().json["changed"] is False
    lab.app.run(["ip", "-6", "address", "del", "::6/128", "dev", "lo"])
    status = lab.tidegate("status", "--json").ended(1).json
    assert status["drift"] == ["address ::6/128 on lo is gone"]
    assert lab.tidegate(*argv).ok().json["changed"] is True
    assert lab.tidegate("status", "--json").ok().json["drift"] == []
    lab.tidegate("init", "--mode", "nftables").ok()
    assert "::6/" not in lab.app.run(["ip", "-6", "address", "show", "dev", "lo"]).stdout


def test_a_refused_mode_leaves_no_address(lab: Lab, before: Snapshot) -> None:
    """The address is there before the mode is chosen; a refusal takes it away again."""
    argv = ("init", "--mode", "iptables", "--cgroup", str(lab.cgroup.path), "--from", "istio", "--", *EVERYTHING)
    refused = lab.tidegate(*argv).ended(3)
    assert "--cgroup" in refused.err
    assert lab.changes_since(before) == ""


def test_cleanup_only(lab: Lab, before: Snapshot) -> None:
    lab.tidegate("init", "--mode", "nftables", "--from", "istio", "--", *EVERYTHING).ok()
    shown = lab.tidegate("init", "--from", "istio", "--", "--cleanup-only", "-n").ok()
    assert "would be removed" in shown.err
    assert lab.tidegate("status", "--json").ok().json["active"] is True
    done = lab.tidegate("init", "--json", "--from", "istio", "--", "--cleanup-only").ok().json
    assert len(done["removed"]) == 2
    assert lab.changes_since(before) == ""


def test_run_validation_checks_what_was_applied(lab: Lab, before: Snapshot) -> None:
    argv = ("init", "--mode", "nftables", "--json", "--from", "istio", "--", *EVERYTHING, "--run-validation")
    checked = lab.tidegate(*argv).ok().json["check"]
    assert checked["ok"] is True
    names = {probe["name"] for probe in checked["probes"]}
    assert {"outbound/ipv4/tcp", "inbound/ipv4/tcp", "hairpin/ipv4/tcp"} <= names


@pytest.fixture
def wall(lab: Lab) -> Iterator[None]:
    """Somebody's firewall drops what comes to the proxy's listeners."""
    rules = "table inet wall { chain in { type filter hook input priority 10; tcp dport { 15001, 15006 } drop; }; }"
    lab.app.run(["nft", rules])
    try:
        yield
    finally:
        lab.app.run(["nft", "delete table inet wall"])


@pytest.mark.takes(33)
def test_a_failed_validation_takes_back_what_was_begun(lab: Lab, wall: None, before: Snapshot) -> None:
    argv = ("init", "--mode", "nftables", "--from", "istio", "--", *EVERYTHING, "--run-validation")
    failed = lab.tidegate(*argv).ended(1)
    assert "outbound/ipv4/tcp" in failed.err
    assert lab.changes_since(before) == ""
    lab.tidegate("init", "--mode", "nftables", "--exclude-outbound-ports", "25").ok()
    in_force = lab.tidegate("status", "--json").ok().json["intent"]
    lab.tidegate(*argv).ended(1)
    assert lab.tidegate("status", "--json").ok().json["intent"] == in_force


def test_skip_rule_apply_only_checks(lab: Lab, before: Snapshot) -> None:
    argv = ("init", "--json", "--from", "istio", "--", *EVERYTHING, "--run-validation", "--skip-rule-apply")
    assert lab.tidegate(*argv).ended(1).json["ok"] is False
    assert lab.changes_since(before) == ""
    lab.tidegate("init", "--mode", "nftables", "--from", "istio", "--", *EVERYTHING).ok()
    assert lab.tidegate(*argv).ok().json["ok"] is True


@pytest.mark.parametrize(
    ("tool", "argv"),
    [
        ("istio", ("--network-namespace", "{netns}", *EVERYTHING)),
        ("linkerd", ("-p", "4143", "-o", "4140", "-u", "2102", "--netns", "{netns}")),
        ("consul", ("-proxy-uid", "1", "-proxy-inbound-port", "2", "-netns={netns}")),
    ],
)
def test_the_tools_namespace(lab: Lab, before: Snapshot, tool: str, argv: tuple[str, ...]) -> None:
    filled = [word.replace("{netns}", str(lab.app.path)) for word in argv]
    untouched = lab.guest.run(["nft", "list", "ruleset"]).stdout
    zygote().run(lab.guest, ["init", "--mode", "nftables", "--from", tool, "--", *filled]).ok()
    assert lab.guest.run(["nft", "list", "ruleset"]).stdout == untouched
    assert lab.tidegate("status", "--json").ok().json["active"] is True


def test_a_dry_run_needs_no_privilege(lab: Lab, before: Snapshot) -> None:
    for tool, argv in (
        ("istio", (*EVERYTHING, "-n")),
        ("linkerd", ("-p", "4143", "-o", "4140", "--simulate")),
        ("kuma", ("--dry-run",)),
    ):
        shown = lab.tidegate("init", "--mode", "nftables", "--json", "--from", tool, "--", *argv, uid=1000).ok().json
        assert "table inet tidegate" in shown["plan"]
    shown = lab.tidegate("init", "--dry-run", "--mode", "nftables", "--from", "istio", "--", *EVERYTHING, uid=1000)
    assert "ip -6 address add ::6/128 dev lo" in shown.ok().out
    assert lab.changes_since(before) == ""


def test_a_configuration_file_of_kumas(lab: Lab, before: Snapshot) -> None:
    file = lab.folder / "tp.yaml"
    file.write_text("kumaDPUser: 7\nredirect:\n  outbound: {excludePorts: [443]}\n  inbound: {enabled: false}\n")
    lab.tidegate("init", "--mode", "nftables", "--from", "kuma", "--", "--config-file", str(file)).ok()
    with lab.proxy(ProxyOptions(7, 7)):
        assert lab.actor().tcp("192.0.2.1", 80).who == "proxy"
        assert lab.actor().tcp("192.0.2.1", 443).who == "peer"
        assert lab.actor(Identity(0, 0), lab.peer).tcp("10.0.0.2", 8080).who == "app"
    file.write_text("redirect:\n  outbond: {}\n")
    refused = lab.tidegate("init", "--from", "kuma", "--", "--config-file", str(file)).ended(2)
    assert f"{file}:2" in refused.err
    lab.tidegate("init", "--from", "kuma", "--", "--config-file", str(lab.folder / "none")).ended(2)


@pytest.mark.parametrize(
    ("argv", "code", "named"),
    [
        (("--from", "nope"), 2, "--from"),
        (("--proxy-uid", "1", "--from", "istio", "--", "-p", "1"), 2, "--proxy-uid"),
        (("--drop-invalid", "--from", "istio"), 2, "--drop-invalid"),
        (("--from", "istio", "--", "--nope"), 2, "--nope"),
        (("--from", "istio", "-p", "15001"), 2, "-p"),
        (("--from", "istio", "--", "-x", "*"), 2, "-x"),
        (("--from", "istio", "--", "--redirect-dns=maybe"), 2, "maybe"),
        (("--mode", "best", "--from", "istio"), 2, "--mode"),
        (("--wait", "long", "--from", "istio"), 2, "--wait"),
        (("--from", "linkerd"), 2, "--incoming-proxy-port"),
        (("--from", "consul", "--", "-proxy-uid", "1"), 2, "-proxy-inbound-port"),
        (("--from", "consul", "--", "-proxy-uid", "1", "-proxy-inbound-port", "2", "-consul-dns-port", "1"), 3, "dns"),
        (("--from", "kuma", "--", "--kuma-dp-user", "kuma-dp"), 2, "kuma-dp"),
        (("stray",), 2, "stray"),
        (("--", "-p", "1"), 2, "-p"),
    ],
)
def test_refusals_change_nothing(lab: Lab, before: Snapshot, argv: tuple[str, ...], code: int, named: str) -> None:
    refused = lab.tidegate("init", *argv).ended(code)
    assert named in refused.err
    assert lab.changes_since(before) == ""
