"""The lines of requests that the engine renders have the form of those that Python renders, to the byte."""

import json
import random

import pytest

from cext.engine.exchange_records import FLAGS, records
from proxy.core.report.request_fields import FIELDS, json_line, report, text_line
from proxy.telemetry.exchange_told import told
from tests.unit.cext.tell.teller import address, teller

PLAIN = {"method": b"GET", "authority": b"shop:80", "target": b"/", "service": b"ns/shop", "route": b"ns/r"}
CASES = [
    PLAIN,
    PLAIN | {"target": b"/a?b=c", "status": 503, "flags": 0x10 | 0x2000, "upstream_us": 1},
    PLAIN | {"target": b'/"quoted" \\ and more', "inbound": 1, "request_bytes": 5, "response_bytes": 7},
    PLAIN | {"target": b"/\x1b[31mred\x07\r\n\0\x7f", "authority": "caf\xe9".encode()},
    PLAIN | {"target": b"\xff\\x1b", "route": b"", "service": b"", "authority": b""},
    PLAIN | {"method": b"", "status": 0, "attempts": 0, "minor": 0, "flags": (1 << len(FLAGS)) - 1},
    PLAIN | {"major": 2, "minor": 0, "trace_id": bytes(range(16)), "duration_us": 123_456_789, "proxy_us": 9},
    PLAIN | {"upstream": address(bytes([0xFD] + [0] * 14 + [1]), 443), "peer": address(b"\x7f\0\0\x01", 1)},
    PLAIN | {"upstream": address(b"\x0a\x00\x00\x09", 65535), "upstream_us": 10**9, "duration_us": 10**12},
]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_both_render_the_same_line(case: dict[str, object]) -> None:
    with teller() as one:
        one.exchanges.keep(True)
        one.tell(**case)
        batch = one.exchanges.take(records=True, text=True, json=True)
        record = told(next(records(batch.records)))
        assert batch.text.decode() == text_line(record) + "\n"
        assert batch.json.decode() == json_line(record) + "\n"
        assert json.loads(batch.json) == report(record)
        assert batch.text.isascii()
        assert batch.text[:-1].isascii()
        assert all(0x20 <= byte < 0x7F for byte in batch.text[:-1] + batch.json[:-1])


def test_any_bytes_are_rendered_alike() -> None:
    generator = random.Random(7)
    with teller() as one:
        one.exchanges.keep(True)
        for _ in range(300):
            one.tell(
                target=generator.randbytes(generator.randrange(0, 3000)),
                authority=generator.randbytes(generator.randrange(0, 400)),
                method=generator.randbytes(generator.randrange(0, 40)),
                flags=generator.randrange(1 << len(FLAGS)),
                duration_us=generator.randrange(10**9),
            )
            batch = one.exchanges.take(records=True, text=True, json=True)
            record = told(next(records(batch.records)))
            assert (batch.text.decode(), batch.json.decode()) == (text_line(record) + "\n", json_line(record) + "\n")


def test_json_has_every_key_in_order() -> None:
    with teller() as one:
        one.exchanges.keep(True)
        one.tell(**PLAIN, times=3)
        batch = one.exchanges.take(json=True)
        lines = batch.json.splitlines()
        assert (batch.ended, len(lines), batch.records, batch.text) == (3, 3, b"", b"")
        assert [list(json.loads(line)) for line in lines] == [[field.name for field in FIELDS if field.logged]] * 3


def test_the_contracts_keys_are_there() -> None:
    keys = (
        "method authority path protocol status flags duration_ms upstream_ms proxy_ms upstream attempts route service "
        "source bytes_sent bytes_received trace_id"
    )
    names = [field.name for field in FIELDS if field.reported]
    assert [name for name in names if name in keys.split()] == keys.split()
