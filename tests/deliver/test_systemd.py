"""The units of the package under a systemd that has booted: capture of a service by drop-in, upgrade, and back."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deliver import roots
from tests.deliver.booted import Booted, booted

pytestmark = [pytest.mark.kernel, pytest.mark.deliver, pytest.mark.timeout(900)]
SHOP = """\
[Service]
ExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.9 8080
"""
CALL = "python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.9:8080/', timeout=10).status)\""
"""Made by a service that is captured; the shop is not."""


@pytest.fixture(scope="module")
def machine(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    folder = tmp_path_factory.mktemp("booted") / "root"
    root = roots.make("bookworm", folder)
    install = ["apt-get", "install", "-q", "-y", "--no-install-recommends", "systemd-sysv"]
    root.run(*install, root.put(packages["bookworm"]), isolated=False, timeout=600)
    units = folder / "etc/systemd/system"
    (units / "shop.service").write_text(SHOP)
    (units / "caller.service").write_text("[Service]\nType=oneshot\nExecStart=/usr/local/bin/call\n")
    (folder / "usr/local/bin/call").write_text(f"#!/bin/sh\n{CALL}\n")
    (folder / "usr/local/bin/call").chmod(0o755)
    drop_in = units / "caller.service.d"
    drop_in.mkdir()
    shutil.copyfile(
        folder / "usr/share/doc/tidegate/examples/capture-this-service.conf", drop_in / "capture-this-service.conf"
    )
    flags = 'TIDEGATE_INIT_FLAGS="--include-outbound-cidrs 127.0.0.9/32"\nTIDEGATE_PROXY_FLAGS="--log-format json"\n'
    (folder / "etc/default/tidegate").write_text(flags)
    try:
        with booted(root) as made:
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def captured_calls(machine: Booted, unit: str) -> int:
    log = machine.run(f"journalctl -q -u {unit} -o cat --no-pager", check=False)
    return sum('"method"' in line and "127.0.0.9:8080" in line for line in log.splitlines())


def call(machine: Booted, unit: str) -> None:
    """One more request of the captured service, which the unit's proxy tells of."""
    before = captured_calls(machine, unit)
    machine.run("systemctl start caller")
    for _ in range(50):
        if captured_calls(machine, unit) == before + 1:
            return
        machine.run("sleep 0.1")
    raise AssertionError(machine.run(f"journalctl -q -u {unit} -u caller --no-pager | tail -40"))


def test_a_service_is_captured_by_its_drop_in_alone(machine: Booted) -> None:
    machine.run("systemctl enable --now tidegate-proxy tidegate-capture && systemctl start shop")
    machine.until("python3 -c 'import socket; socket.create_connection((\"127.0.0.9\", 8080))' && echo there", "there")
    assert "processes of cgroup tidegate.slice" in machine.run("tidegate status")
    call(machine, "tidegate-proxy")
    assert machine.run("systemctl --failed --no-legend --plain") == ""


def test_an_upgrade_goes_from_unit_to_unit(machine: Booted) -> None:
    machine.run("systemctl start tidegate-proxy@next")
    machine.until("journalctl -q -u tidegate-proxy@next -o cat --no-pager", "took over")
    call(machine, "tidegate-proxy@next")
    machine.until("systemctl is-active tidegate-proxy; true", "inactive")
    assert machine.run("systemctl show -p Result --value tidegate-proxy") == "success\n"
    machine.run("systemctl start tidegate-proxy")  # without --take-over: the ports are taken, which it says
    machine.until("journalctl -q -u tidegate-proxy -o cat --no-pager", "is in use")
    machine.run("systemctl stop tidegate-proxy; systemctl reset-failed")
    call(machine, "tidegate-proxy@next")


def test_a_proxy_that_is_killed_is_back(machine: Booted) -> None:
    machine.run("systemctl kill -s KILL --kill-who=main tidegate-proxy@next")
    machine.until("systemctl show -p NRestarts --value tidegate-proxy@next", "1")
    machine.until("tidegate status", "outbound      proxied")
    call(machine, "tidegate-proxy@next")


def test_stopping_the_capture_lets_the_service_go_direct(machine: Booted) -> None:
    machine.run("systemctl stop tidegate-capture tidegate-proxy@next")
    assert "no capture" in machine.run("tidegate status", check=False)
    machine.run("systemctl mask --runtime tidegate-capture && systemctl start caller")
    assert machine.run("systemctl show -p Result --value caller") == "success\n"
