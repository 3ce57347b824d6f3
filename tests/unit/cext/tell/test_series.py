"""Counters of exchanges: what they tell apart, that they add up, and that no peer can make them grow."""

from collections import Counter

from cext.engine.exchange_records import SeriesCounts
from tests.unit.cext.tell.teller import Teller, teller

SERIES = 16384


def counted(one: Teller) -> list[SeriesCounts]:
    return [series for some in one.exchanges.counters() for series in some if series.requests]


def test_exchanges_are_told_apart_by_service_route_endpoint_status_and_flags() -> None:
    with teller() as one:
        one.tell(service=b"ns/a", route=b"ns/r", group=1, times=2)
        one.tell(service=b"ns/a", route=b"ns/r", group=2)
        one.tell(service=b"ns/a", route=b"ns/q", group=1)
        one.tell(service=b"ns/ar", route=b"ns/", group=1)
        one.tell(service=b"ns/a", route=b"ns/r", group=1, status=503, flags=0x10)
        one.tell(service=b"ns/a", route=b"ns/r", group=1, status=503)
        one.tell(service=b"ns/a", route=b"ns/r", group=1, scope=2, inbound=1)
        found = {(s.service, s.route, s.group, s.scope, s.status, s.flags): s.requests for s in counted(one)}
        assert found == {
            ("ns/a", "ns/r", 1, 1, 200, 0): 2,
            ("ns/a", "ns/r", 2, 1, 200, 0): 1,
            ("ns/a", "ns/q", 1, 1, 200, 0): 1,
            ("ns/ar", "ns/", 1, 1, 200, 0): 1,
            ("ns/a", "ns/r", 1, 1, 503, 0x10): 1,
            ("ns/a", "ns/r", 1, 1, 503, 0): 1,
            ("ns/a", "ns/r", 1, 2, 200, 0): 1,
        }


def test_values_add_up_and_fall_into_istios_buckets() -> None:
    with teller() as one:
        for us in (0, 500, 501, 1000, 1001, 5000, 7_200_000_000):
            one.tell(duration_us=us, upstream_us=us, proxy_us=us, request_bytes=us, response_bytes=1, attempts=2)
        one.tell(duration_us=10)
        (found,) = counted(one)
        assert (found.requests, found.answered, found.attempts) == (8, 7, 15)
        assert found.duration_us == 7_200_008_012
        assert found.upstream_us == found.proxy_us == found.request_bytes == 7_200_008_002
        assert found.durations == (3, 2, 2, *[0] * 16, 1)
        assert found.upstream_times == (2, 2, 2, *[0] * 16, 1)
        assert found.request_sizes == (2, *[0] * 7, 1, 2, 1, 1, *[0] * 7, 1)
        assert found.response_sizes == (1, 7, *[0] * 18)
        assert sum(found.proxy_times) == 8


def test_workers_count_for_themselves() -> None:
    with teller(threads=3) as one:
        for worker in range(3):
            one.tell(worker=worker, times=worker + 1)
        found = counted(one)
        assert Counter(series.requests for series in found) == {1: 1, 2: 1, 3: 1}
        assert len({series.number for series in found}) == 3


def test_an_upstream_that_invents_statuses_gets_few_series() -> None:
    with teller() as one:
        for status in range(100, 1000):
            one.tell(service=b"ns/hostile", status=status)
        found = counted(one)
        assert sum(series.requests for series in found) == 900
        assert len(found) < 40
        assert {series.status for series in found if series.status < 100} == set(range(1, 10))
        # Others are not affected.
        one.tell(service=b"ns/other", status=418)
        assert [s.requests for s in counted(one) if s.service == "ns/other" and s.status == 418] == [1]


def test_however_many_endpoints_the_table_is_bounded() -> None:
    with teller() as one:
        for group in range(SERIES + 500):
            one.tell(service=b"ns/a", group=group)
        found = counted(one)
        assert len(found) <= SERIES
        assert sum(series.requests for series in found) == SERIES + 500
        (rest,) = [series for series in found if series.service == ""]
        assert rest.requests >= 500


def test_counters_can_be_read_after_the_close() -> None:
    with teller() as one:
        one.tell(service=b"ns/a", times=3)
        one.engine.close()
        assert [(s.service, s.requests) for s in counted(one)] == [("ns/a", 3)]
        assert one.exchanges.cpu_s() >= 0
