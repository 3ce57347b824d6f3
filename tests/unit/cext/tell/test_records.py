"""Records of exchanges: kept while somebody wants them, whole, in order, bounded."""

import os
import select

from cext.engine.exchange_records import FLAGS, HEAD, records
from cext.engine.values import SocketAddress
from proxy.core.report import flags
from tests.unit.cext.tell.teller import Teller, address, teller


def taken(one: Teller) -> list[bytes]:
    return [record.target for record in records(one.exchanges.take(records=True).records)]


def test_nothing_is_kept_until_somebody_wants_it() -> None:
    with teller() as one:
        one.tell(target=b"/early")
        assert one.exchanges.take(records=True).ended == 0
        one.exchanges.keep(True)
        one.tell(target=b"/kept")
        one.exchanges.keep(False)
        one.tell(target=b"/late")
        assert taken(one) == [b"/kept"]
        assert one.exchanges.dropped == 0


def test_a_record_has_everything_that_was_told() -> None:
    with teller() as one:
        one.exchanges.keep(True)
        one.tell(
            verdict=3, site=4, group=5, connection=6, started_us=1_000_000, duration_us=1500, upstream_us=700,
            proxy_us=80, request_bytes=100, response_bytes=2000, rule=7, backend=8, flags=2, attempts=2, status=504,
            minor=0, inbound=1, grpc=14, traced=2, trace_id=bytes(range(16)), span_id=b"s" * 8, parent_id=b"p" * 8,
            upstream=address(bytes(15) + b"\x01", 9), method=b"GET", authority=b"shop", target=b"/a?b=c",
            service=b"ns/shop", route=b"ns/r",
        )  # fmt: skip
        (found,) = records(one.exchanges.take(records=True).records)
        assert (found.verdict, found.site, found.group, found.connection) == (3, 4, 5, 6)
        assert (found.duration_us, found.upstream_us, found.proxy_us) == (1500, 700, 80)
        assert (found.request_bytes, found.response_bytes, found.rule, found.backend) == (100, 2000, 7, 8)
        assert (found.flags, found.attempts, found.status, found.major, found.minor) == (2, 2, 504, 1, 0)
        assert (found.inbound, found.grpc, found.traced) == (True, 14, 2)
        assert (found.trace_id, found.span_id, found.parent_id) == (bytes(range(16)), b"s" * 8, b"p" * 8)
        assert (found.peer, found.original) == (SocketAddress("10.0.0.1", 40000), SocketAddress("10.0.0.2", 80))
        assert found.upstream == SocketAddress("::1", 9)
        assert (found.method, found.authority, found.target) == (b"GET", b"shop", b"/a?b=c")
        assert (found.service, found.route) == (b"ns/shop", b"ns/r")
        assert found.started_us > 1_600_000_000_000_000, "since the epoch"


def test_ids_differ_between_workers() -> None:
    with teller(threads=2) as one:
        one.exchanges.keep(True)
        for worker in (0, 1):
            one.tell(worker=worker, times=3)
        found = [record.id for record in records(one.exchanges.take(records=True).records)]
        assert len(set(found)) == 6
        assert 0 not in found


def test_long_texts_are_cut_visibly() -> None:
    with teller() as one:
        one.exchanges.keep(True)
        one.tell(target=b"/" + b"x" * 60_000, authority=b"a" * 300, method=b"M" * 40, route=b"r" * 9000)
        (found,) = records(one.exchanges.take(records=True).records)
        assert found.target == b"/" + b"x" * 2044 + b"..."
        assert (len(found.authority), len(found.method), len(found.route)) == (255, 32, 512)


def test_records_that_nobody_takes_are_dropped_and_counted() -> None:
    with teller() as one:
        one.exchanges.keep(True)
        one.tell(target=b"/" + b"x" * 1000, times=5000)
        count = 0
        while more := one.exchanges.take(records=True).ended:
            count += more
        assert 1000 < count < 5000
        assert one.exchanges.dropped == 5000 - count
        # The way is free again, and whole.
        one.tell(target=b"/again", times=2)
        assert taken(one) == [b"/again", b"/again"]


def test_the_ring_goes_round_in_order() -> None:
    with teller() as one:
        one.exchanges.keep(True)
        for number in range(30_000):
            one.tell(target=b"/%d" % number + b"-" * (number % 97))
            if number % 50 == 49:
                batch = one.exchanges.take(records=True)
                numbers = [int(record.target[1:].rstrip(b"-")) for record in records(batch.records)]
                assert numbers == list(range(number - 49, number + 1))
        assert one.exchanges.dropped == 0


def test_the_descriptor_tells_that_records_wait() -> None:
    with teller() as one:
        one.exchanges.keep(True)
        readable = lambda: bool(select.select([one.engine.record_fd], [], [], 0)[0])  # noqa: E731
        assert not readable()
        one.tell(target=b"/" + b"x" * 2000, times=200)
        assert readable()
        assert 0 < one.exchanges.take(records=True).ended < 200, "more than fit at once"
        assert readable(), "there are more"
        while one.exchanges.take(records=True).ended:
            pass
        assert not readable()
        assert os.fstat(one.engine.record_fd)


def test_what_ended_before_the_close_is_given_after_it() -> None:
    with teller() as one:
        one.exchanges.keep(True)
        one.exchanges.take(records=True)
        one.tell(target=b"/last")
        one.engine.close()
        assert taken(one) == [b"/last"]
        assert taken(one) == []


def test_flags_are_the_same_in_both_tables() -> None:
    assert tuple(flags.FLAGS) == FLAGS
    assert HEAD.size % 8 == 0
