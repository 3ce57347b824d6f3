"""A change of the documents moves new connections only; what is wrong with it leaves the old policy in force."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.proxy.config_rig import ONE, TWO, VIP, ask, backends, dump, file, in_force, proxy_with, web, write
from tests.netns.proxy.proxy_rig import ProxyProcess, dial, read_all, until

__all__ = ["backends", "file"]
pytestmark = pytest.mark.kernel


@pytest.mark.usefixtures("backends")
def test_a_change_moves_new_connections_and_leaves_open_ones(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, web(ONE)) as proxy, dial(lab.app, VIP, 80) as old:
        assert old.recv(1) == b"1"
        digest = dump(proxy)["digest"]
        began = time.monotonic()
        write(file, web(TWO))
        in_force(proxy, digest)
        assert time.monotonic() - began < 3
        assert ask(lab) == b"2"
        old.sendall(b"still here")
        assert old.recv(10) == b"still here"
        old.shutdown(socket.SHUT_WR)
        assert read_all(old) == b""
    assert {line["close_reason"] for line in proxy.access_log()} == {"finished"}


@pytest.mark.usefixtures("backends")
def test_bad_new_configuration_is_refused_whole(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, web(ONE)) as proxy:
        digest = dump(proxy)["digest"]
        for bad in (web(TWO).replace("port: 80", "port: 80x"), web(TWO) + "\n\t- x", web(TWO) + web(TWO)):
            write(file, bad)
            refused = until(lambda: dump(proxy)["refused"], "the refusal to show")
            assert refused["errors"][0].startswith(f"{file}:")
            assert (dump(proxy)["digest"], ask(lab)) == (digest, b"1")
            write(file, web(ONE))
            until(lambda: dump(proxy)["refused"] is None, "the good one to be taken")
        assert "is refused, the old one" in proxy.stderr()
        assert proxy.metric("tidegate_config_reloads_total", result="refused") >= 3
        file.unlink()
        until(lambda: dump(proxy)["refused"], "the refusal to show")
        assert ask(lab) == b"1"


@pytest.mark.usefixtures("backends")
def test_sighup_reads_again(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, web(ONE)) as proxy:
        loaded = dump(proxy)["loaded_at"]
        os.kill(proxy.pid, signal.SIGHUP)
        until(lambda: dump(proxy)["loaded_at"] > loaded, "another reading")
        assert "nothing changed" in until(lambda: "nothing changed" in proxy.stderr() and proxy.stderr(), "the log")


@pytest.mark.usefixtures("backends")
def test_a_config_maps_swap_under_load_loses_nothing(lab: Lab, file: Path) -> None:
    folder = file.parent / "mounted"
    folder.mkdir()

    def publish(number: int, text: str) -> None:
        data = folder / f"..v{number}"
        data.mkdir()
        (data / "web.yaml").write_text(text)
        (folder / "..data_tmp").symlink_to(data.name)
        (folder / "..data_tmp").rename(folder / "..data")

    publish(0, web(ONE))
    (folder / "web.yaml").symlink_to("..data/web.yaml")
    answers: list[bytes] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            answers.append(ask(lab))

    with ProxyProcess(lab, "--log-format", "json", "--config", str(folder)) as proxy:
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for number in range(1, 11):
                digest = dump(proxy)["digest"]
                publish(number, web(TWO if number % 2 else ONE))
                in_force(proxy, digest)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert set(answers) == {b"1", b"2"}
        assert proxy.metric("tidegate_config_reloads_total", result="refused") == 0
        assert ask(lab) == b"1"


@pytest.mark.usefixtures("backends")
def test_what_only_root_may_read_serves_but_says_that_it_can_not_be_read_again(lab: Lab, file: Path) -> None:
    write(file, web(ONE))
    file.chmod(0o600)
    with ProxyProcess(lab, "--config", str(file)) as proxy:
        assert ask(lab) == b"1"
        until(lambda: "can't be read by uid 1337" in proxy.stderr(), "the warning")
        os.kill(proxy.pid, signal.SIGHUP)
        until(lambda: dump(proxy)["refused"], "the refusal")
        assert ask(lab) == b"1"


def test_bad_configuration_at_the_start_opens_nothing(lab: Lab, file: Path) -> None:
    write(file, web(ONE).replace(VIP, "10.0.0.300"))
    argv = [sys.executable, "-P", "-m", "tidegate", "proxy", "--config", str(file)]
    done = lab.app.run(argv, check=False, timeout=20)
    assert isinstance(done, subprocess.CompletedProcess)
    assert done.returncode == 2
    assert "'10.0.0.300' is not valid" in done.stderr
    assert f"{file}:" in done.stderr


def test_a_signal_right_after_ready_is_not_lost(lab: Lab, file: Path) -> None:
    """The loop must not stand still between telling that it is ready and serving."""
    write(file, web(ONE))
    for _ in range(4):
        argv = [sys.executable, "-P", "-m", "tidegate", "proxy", "--config", str(file)]
        with lab.app.popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            assert process.stderr is not None
            try:
                assert any(" ready: " in line for line in iter(process.stderr.readline, ""))
                process.terminate()
                assert process.wait(10) == 0
                until(lambda: not lab.app.processes(), "its companion to be gone as well")
            finally:
                process.kill()
