"""Pods start and end under traffic, and no connection of theirs fails. TIDEGATE_PODS: how many; the default is few."""

import os
import statistics

import pytest

from tests.lab.lab import Lab
from tests.netns.tidegate import pod

pytestmark = [pytest.mark.kernel, pytest.mark.takes(6), pytest.mark.timeout(1200)]
PODS = int(os.environ.get("TIDEGATE_PODS", "8"))
MODES = ("nftables", "iptables", "tproxy", "ebpf")


@pytest.mark.parametrize("mode", MODES)
def test_pods_and_jobs_come_and_go_without_a_failed_connection(lab: Lab, mode: str) -> None:
    delays = []
    calls = served = 0
    with pod.peer(lab):
        for number in range(PODS // len(MODES)):
            told = pod.live(lab, mode, job=number % 2 == 1)
            assert told.failures == []
            assert told.calls > 2
            assert told.served > 2
            delays.append(told.delay_s)
            calls, served = calls + told.calls, served + told.served
    delay = statistics.median(delays)
    print(f"{mode}: {len(delays)} pods, {calls} calls out, {served} in; start delayed by {delay:.2f} s")
