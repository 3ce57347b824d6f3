"""Trials run in children: what one of them does to itself must not reach doctor or the other trials."""

from __future__ import annotations

import os
import signal
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from intercept.doctor.trials import run_all


def raises() -> None:
    raise RuntimeError("no such thing")


def dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leaves() -> None:
    os._exit(7)


def hangs() -> None:
    time.sleep(60)


def test_what_a_child_had_found_before_it_died_is_kept() -> None:
    found = run_all([{"first": lambda: 1, "dies": dies, "never": lambda: 2}, {"other": lambda: 3}])
    assert found["first"].value == 1
    assert "signal 9" in (found["dies"].trouble or "")
    assert found["never"].trouble == found["dies"].trouble
    assert (found["other"].value, found["other"].trouble) == (3, None)


def test_each_way_to_fail_is_told() -> None:
    found = run_all([{"raises": raises, "after": lambda: "still"}, {"leaves": leaves}])
    assert found["raises"].trouble == "RuntimeError: no such thing"
    assert found["after"].value == "still"
    assert "ended with 7" in (found["leaves"].trouble or "")


def test_a_trial_that_hangs_is_ended_and_leaves_no_process() -> None:
    started = time.monotonic()
    found = run_all([{"quick": lambda: True, "hangs": hangs}, {"beside": lambda: True}], limit_s=0.5)
    assert time.monotonic() - started < 20
    assert found["quick"].value is True
    assert found["beside"].value is True
    assert "0.5 s" in (found["hangs"].trouble or "")
    # This process has no child left, a zombie neither.
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and _parent(pid) == os.getpid()]


def _parent(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return int(file.read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return None


def test_standard_error_of_a_trial_reaches_nobody(capfd: object) -> None:
    from _pytest.capture import CaptureFixture

    assert isinstance(capfd, CaptureFixture)
    run_all([{"loud": lambda: os.write(2, b"a library complains")}])
    assert capfd.readouterr().err == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(JSON, max_size=4), max_size=3))
def test_whatever_a_trial_returns_arrives(values: list[list[object]]) -> None:
    groups = [
        {f"{i}.{j}": (lambda value=value: value) for j, value in enumerate(group)} for i, group in enumerate(values)
    ]
    found = run_all(groups)
    assert {name: outcome.value for name, outcome in found.items()} == {
        f"{i}.{j}": value for i, group in enumerate(values) for j, value in enumerate(group)
    }
    assert all(outcome.trouble is None for outcome in found.values())
