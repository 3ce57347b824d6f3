"""What sock_diag tells of a connection: the payload's bytes, in whichever state it is."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intercept.backends.ebpf.direct.live import Moved, read_info

ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING = 1, 4, 5, 8, 9, 11
counts = st.integers(0, 2**40)


def info(*, unacknowledged: int, srtt_us: int, retransmits: int, acknowledged: int, arrived: int) -> bytes:
    """The beginning of struct tcp_info."""
    words = [0] * 24
    words[4], words[15], words[23] = unacknowledged, srtt_us, retransmits
    return bytes(8) + struct.pack("=24I4Q", *words, 0, 0, acknowledged, arrived) + bytes(64)


@pytest.mark.parametrize(
    ("state", "unacknowledged", "our_fin", "their_fin"),
    [
        (ESTABLISHED, 0, 0, 0),
        (ESTABLISHED, 3, 0, 0),
        (FIN_WAIT1, 1, 0, 0),
        (FIN_WAIT1, 0, 1, 0),
        (FIN_WAIT2, 0, 1, 0),
        (CLOSE_WAIT, 0, 0, 1),
        (LAST_ACK, 1, 0, 1),
        (LAST_ACK, 0, 1, 1),
        (CLOSING, 1, 0, 1),
    ],
)
@given(expected=st.builds(Moved, counts, counts, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)))
def test_a_fin_is_no_byte(state: int, unacknowledged: int, our_fin: int, their_fin: int, expected: Moved) -> None:
    told = info(
        unacknowledged=unacknowledged,
        srtt_us=expected.srtt_us,
        retransmits=expected.retransmits,
        acknowledged=expected.sent + our_fin,
        arrived=expected.received + their_fin,
    )
    assert read_info(state, told) == expected
