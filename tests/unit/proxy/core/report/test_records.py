"""What is told about a connection, its labels, and the small limits."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.addresses import Address, ClientAddress, OriginalDestination, UpstreamAddress
from proxy.core.close_reason import CloseReason, of_connect_error, response_flags
from proxy.core.decide.verdict import decide
from proxy.core.lanes import Direction, Lane, LaneChoice
from proxy.core.report.fields import report
from proxy.core.report.istio_labels import LABELS, tcp_labels
from proxy.core.report.log_budget import LogBudget
from proxy.core.report.record import ConnectionRecord
from proxy.settings import RESERVED_DESCRIPTORS, ProxySettings, question_limit

DESTINATION = OriginalDestination(Address("fd00::1", 80))


def record(direction: Direction, reason: CloseReason | None = CloseReason.FINISHED) -> ConnectionRecord:
    return ConnectionRecord(
        id=1,
        direction=direction,
        peer=ClientAddress(Address("10.0.0.2", 40000)),
        destination=DESTINATION,
        upstream=UpstreamAddress(DESTINATION),
        verdict=decide(direction, DESTINATION, LaneChoice.AUTO),
        to_upstream=10,
        to_downstream=2000,
        state="closed" if reason else "relaying",
        started_at=0.0,
        age_s=1.5,
        close_reason=reason,
    )


def test_bytes_are_the_workloads() -> None:
    outbound, inbound = report(record(Direction.OUTBOUND)), report(record(Direction.INBOUND))
    assert (outbound["bytes_sent"], outbound["bytes_received"]) == (10, 2000)
    assert (inbound["bytes_sent"], inbound["bytes_received"]) == (2000, 10)


def test_the_report_object_has_the_contracts_keys_and_types() -> None:
    told = report(record(Direction.OUTBOUND))
    wanted = {
        "direction": str, "original_destination": str, "upstream": str, "protocol": str, "lane": str,
        "bytes_sent": int, "bytes_received": int, "duration_ms": float, "close_reason": str,
        "state": str, "age_ms": float, "lane_reason": str,
    }  # fmt: skip
    assert {key: type(told[key]) for key in wanted} == wanted
    assert told["original_destination"] == told["upstream"] == "[fd00::1]:80"
    assert told["duration_ms"] == 1500.0
    assert report(record(Direction.OUTBOUND, None))["close_reason"] == ""


@given(st.sampled_from(Direction), st.sampled_from(LaneChoice))
def test_what_nobody_claims_passes_through_to_where_it_was_going(direction: Direction, choice: LaneChoice) -> None:
    verdict = decide(direction, DESTINATION, choice)
    assert verdict.upstream == DESTINATION
    assert verdict.lane is Lane.SPLICE
    assert verdict.lane_reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errno.ECONNREFUSED, "upstream-refused"),
        (errno.ETIMEDOUT, "upstream-timeout"),
        (errno.EHOSTUNREACH, "upstream-unreachable"),
        (errno.ENETUNREACH, "upstream-unreachable"),
        (errno.EPERM, "upstream-denied"),
        (errno.EADDRNOTAVAIL, "upstream-no-local-port"),
        (errno.EIO, "upstream-failed"),
    ],
)
def test_connect_errors_have_names(error: int, reason: str) -> None:
    assert of_connect_error(error) == reason


def test_every_reason_has_flags_and_only_a_clean_end_has_none() -> None:
    assert [reason for reason in CloseReason if response_flags(reason) == "-"] == [CloseReason.FINISHED]


@given(st.sampled_from(Direction), st.sampled_from(CloseReason))
def test_labels_are_istios_and_hold_no_address(direction: Direction, reason: CloseReason) -> None:
    verdict = decide(direction, DESTINATION, LaneChoice.AUTO)
    labels = tcp_labels(direction, verdict.cluster, verdict.protocol, response_flags(reason))
    assert tuple(labels) == LABELS
    assert not any("fd00" in value or "10.0" in value for value in labels.values())
    assert labels["reporter"] == ("source" if direction is Direction.OUTBOUND else "destination")
    assert labels["destination_service_name"] == verdict.cluster
    assert labels["destination_service"] == "unknown"


@given(st.integers(64, 1 << 22))
def test_the_default_limit_fits_into_the_descriptors(descriptors: int) -> None:
    limit, questions = ProxySettings().connection_limit(descriptors), question_limit(descriptors)
    assert min(limit, questions) >= 1
    assert limit == 1 or limit * 2 + questions + RESERVED_DESCRIPTORS <= descriptors


@given(st.lists(st.floats(0, 10), min_size=1, max_size=200).map(sorted))
def test_a_log_budget_loses_no_count(times: list[float]) -> None:
    budget = LogBudget(lines=3, period_s=1.0)
    given_ = [budget.take(now) for now in times]
    written = [n for n in given_ if n is not None]
    told = sum(written) + len(written)
    assert told + given_[::-1].index(written[-1]) == len(times)
    assert len(written) <= 3 * (len({int(t) for t in times}) + 1)
