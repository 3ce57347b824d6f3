"""`tidegate proxy`'s flags: what is taken, and that what is refused is named, with exit code 2."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.addresses import Address
from proxy.core.lanes import LaneChoice
from proxy.settings import InboundOriginalDst, LogFormat, ProxySettings
from tidegate.beside import companion
from tidegate.commands.proxy import proxy

Captured = list[ProxySettings]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Captured:
    """The settings that the proxy would have been started with."""
    taken: Captured = []

    def serve(settings: ProxySettings, source: object = None, companions: object = None) -> int:
        taken.append(settings)
        return 0

    monkeypatch.setattr("proxy.serve.serve", serve)
    monkeypatch.setattr(companion, "may_watch", lambda: False)
    return taken


def run(*flags: str) -> Any:
    return CliRunner().invoke(proxy, flags)


def test_the_defaults_are_the_contracts(served: Captured) -> None:
    assert run().exit_code == 0
    assert served == [ProxySettings()]
    settings = served[0]
    assert (settings.outbound_port, settings.inbound_port) == (15001, 15006)
    assert (str(settings.admin), str(settings.telemetry)) == ("127.0.0.1:15000", "0.0.0.0:15020")
    assert (settings.proxy_uid, settings.proxy_gid, settings.drain_timeout_s) == (1337, 1337, 20.0)


def test_every_flag_reaches_the_settings(served: Captured) -> None:
    flags = (
        "--outbound-port 1 --inbound-port 0 --admin [::1]:2 --telemetry off --proxy-uid 0 --proxy-gid 3 --proxy-mark 4"
        " --lane splice --workers 3 --connect-timeout 0.5 --idle-timeout 0 --drain-timeout 6 --max-connections 7"
        " --inbound-original-dst sockname --inbound-source 127.0.0.6,::6, --log-format json --log-level debug"
        " --dns-port 53"
    )
    assert run(*flags.split()).exit_code == 0
    assert served == [
        ProxySettings(
            outbound_port=1, inbound_port=0, admin=Address("::1", 2), telemetry=None, proxy_uid=0, proxy_gid=3,
            proxy_mark=4, lane=LaneChoice.SPLICE, workers=3, connect_timeout_s=0.5, idle_timeout_s=0.0,
            drain_timeout_s=6.0, max_connections=7, dns_port=53,
            inbound_original_dst=InboundOriginalDst.SOCKNAME, inbound_sources=("127.0.0.6", "::6"),
            log_format=LogFormat.JSON, log_level="debug",
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("flag", "token"),
    [
        ("--outbound-port", "65536"), ("--outbound-port", "-1"), ("--outbound-port", "ssh"), ("--inbound-port", "1.5"),
        ("--inbound-port", "٣"), ("--dns-port", "x"), ("--explicit-port", "http"),
        ("--admin", "0.0.0.0:15000"), ("--admin", "[::]:15000"), ("--admin", "10.0.0.1:1"), ("--admin", "localhost:1"),
        ("--admin", "15000"), ("--telemetry", "1.2.3.4"), ("--telemetry", "a:b"), ("--proxy-uid", "istio-proxy"),
        ("--proxy-uid", "4294967295"), ("--proxy-gid", "-1"), ("--proxy-mark", "0"), ("--proxy-mark", "4294967296"),
        ("--lane", "fast"), ("--workers", "65"), ("--workers", "0"), ("--workers", "auto"),
        ("--connect-timeout", "0"), ("--connect-timeout", "nan"), ("--idle-timeout", "-1"), ("--drain-timeout", "inf"),
        ("--drain-timeout", "soon"), ("--max-connections", "0"), ("--inbound-original-dst", "guess"),
        ("--inbound-source", "lo"), ("--inbound-source", "127.0.0.6,127.0.0.7"), ("--log-format", "xml"),
        ("--log-level", "loud"), ("--supervisor-fd", "0"), ("--max-body", "0"), ("--max-body", "1T"),
        ("--max-body", "M"), ("--max-body", "-1"), ("--max-body", "1.5M"), ("--max-body", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(served: Captured, flag: str, token: str) -> None:
    done = run(flag, token)
    assert done.exit_code == 2
    assert flag in done.output
    assert repr(token.rpartition(",")[2]) in done.output
    assert served == []


@pytest.mark.parametrize("flag", ["--explicit-listen=0.0.0.0", "--explicit-allow-link-local"])
def test_flags_of_the_explicit_proxy_want_its_port(served: Captured, flag: str) -> None:
    done = run(flag)
    assert (done.exit_code, "--explicit-port" in done.output, served) == (2, True, [])
    assert run(flag, "--explicit-port", "3128").exit_code == 0
    assert served[0].explicit_port == 3128


@pytest.mark.parametrize("token", ["lo", "::1,::1", "127.0.0.1:80", ","])
def test_addresses_of_the_explicit_proxy(served: Captured, token: str) -> None:
    done = run("--explicit-port", "3128", "--explicit-listen", token)
    assert (done.exit_code, "--explicit-listen" in done.output, served) == (2, True, [])


def test_the_explicit_proxy_has_a_port_of_its_own(served: Captured) -> None:
    done = run("--explicit-port", "15001")
    assert (done.exit_code, "--explicit-port" in done.output, served) == (2, True, [])


def test_one_port_cannot_serve_both_directions(served: Captured) -> None:
    done = run("--outbound-port", "15006")
    assert (done.exit_code, "--inbound-port" in done.output, served) == (2, True, [])


@given(st.text(max_size=12), st.sampled_from(["--outbound-port", "--proxy-uid", "--drain-timeout", "--log-format"]))
def test_any_text_is_taken_or_refused_with_exit_code_2(text: str, flag: str) -> None:
    said = ""
    try:
        proxy.make_context("proxy", [f"{flag}={text}"])
    except click.UsageError as refused:
        said = f"{refused.exit_code} {refused}"
    assert not said or said.startswith(f"2 {flag}: ")


def test_the_command_line_does_not_import_the_proxy() -> None:
    """Every other command pays for what this module imports."""
    code = "import sys, tidegate.commands.proxy\n"
    code += "print({m.split('.')[0] for m in sys.modules} & {'proxy', 'uvloop', 'cext'})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_as_many_workers_as_the_engine_has_room_for() -> None:
    from cext.engine._engine import lib
    from tidegate.commands.proxy import MAX_WORKERS

    assert lib.TG_MAX_WORKERS == MAX_WORKERS
