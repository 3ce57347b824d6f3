"""What becomes of the loads' output: figures, or an error; and the page made of the figures."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.loads import check_worked, wrk_result
from bench.page import BUSY_SHARE, render
from bench.processes import BenchError
from bench.summary import Run
from bench.targets import TARGETS

FINE = {"connect": 0, "read": 0, "write": 0, "status": 0, "timeout": 0}


def wrk_text(requests: int, **errors: int) -> str:
    return f"Running 1s test\nRESULT {json.dumps({'requests': requests, 'errors': FINE | errors})}\nmore\n"


def test_wrk_s_report_is_found_among_its_words() -> None:
    assert wrk_result(wrk_text(10_000, read=1))["requests"] == 10_000


@pytest.mark.parametrize(
    "text", ["", "Running 1s test\n", wrk_text(0), wrk_text(1000, status=2), wrk_text(5, timeout=1)]
)
def test_a_load_that_failed_has_no_figure(text: str) -> None:
    with pytest.raises(BenchError, match="wrk"):
        wrk_result(text)


def test_a_proxy_without_work_was_not_in_the_path() -> None:
    check_worked({"bulk1_proxy_us_per_gib": 5.0, "bulk1_gbit_s": 0.0})
    with pytest.raises(BenchError, match="bulk1_proxy_us_per_gib"):
        check_worked({"bulk1_proxy_us_per_gib": 0.0, "bulk1_gbit_s": 9.0})


def document(**changed: Any) -> dict[str, Any]:
    return {
        "date": "2030-01-02T03:04:05+00:00",
        "machine": {
            "cpu": "some cpu", "cores": 2, "memory_mib": 4096, "kernel": "6.18", "system": "some system",
            "python": "3.11", "versions": {"haproxy": "2.6", "wrk": None}, "tidegate": "abc",
        },
        "background_busy": 0.01,
        "settings": {
            "rounds": 5, "rounds_done": 4, "seconds": 2, "threads": 1, "seconds_taken": 99,
            "memory_counts": [1000, 9000],
        },
        "contestants": {"none": "no proxy", "haproxy": "the rival", "splice-ebpf": "our splice lane"},
        "failures": [],
        **changed,
    }  # fmt: skip


RUNS = [
    Run(0, "none", {"short_conn_s": 9000.0}),
    Run(0, "haproxy", {"short_conn_s": 4000.0, "short_errors": 0.0}),
    Run(0, "splice-ebpf", {"short_conn_s": 5000.0, "short_errors": 7.0}),
]


def rendered(runs: list[Run] = RUNS, **changed: Any) -> str:
    return render(document(**changed), runs, ["short"], Path("/r/bench/results"), Path("/r/docs"))


def row(page: str, *beginning: str) -> list[str]:
    start = "| " + " | ".join(beginning) + " |"
    found = [line for line in page.splitlines() if line.startswith(start)]
    assert found, f"no row {start}"
    return [cell.strip() for cell in found[0].strip("|").split("|")]


def test_the_page_judges_what_was_measured_and_only_that() -> None:
    page = rendered()
    short = row(page, "connections/s", "at least 1.15 x HAProxy", "our splice lane")
    assert short[-2:] == ["1.25", "met"]
    judged = [line for line in page.splitlines() if line.endswith(("| met |", "| **not met** |", "| not measured |"))]
    assert len(judged) == sum(len(target.contestants) for target in TARGETS)
    assert sum(line.endswith("| not measured |") for line in judged) == len(judged) - 1


def test_failures_and_errors_stand_on_the_page() -> None:
    failed = {"round": 1, "contestant": "haproxy", "load": "bulk4", "error": "two\nlines"}
    page = rendered(failures=[failed])
    assert "* round 2, haproxy, bulk4: two lines" in page
    assert "* our splice lane: 7" in page
    assert "the rival: 0" not in page


def test_a_busy_machine_is_named_at_the_top() -> None:
    assert "Others used" not in rendered(background_busy=BUSY_SHARE)
    assert "**Others used 30% of the machine" in rendered(background_busy=0.3)


def test_plots_are_linked_from_where_the_page_stands() -> None:
    assert "(../bench/results/short.png)" in rendered()


def test_before_the_first_run_the_page_claims_nothing() -> None:
    page = rendered([], date=None)
    assert "No full run is recorded yet" in page
    assert "| met |" not in page
    assert "did every load" not in page
