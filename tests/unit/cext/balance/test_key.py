"""What a request is looked up by in a consistent hash: the engine finds what proxy/core/balance/key.py says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.balance.key import cookie_end, key_hash
from proxy.core.dice import hash_of
from proxy.core.policy.upstream import ConsistentHash
from proxy.core.route.match import Request
from tests.unit.cext.balance.chooser import Chooser

NAMES = ["id", "x-id", "ID", "q q", "é"]
PEERS = st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:db8::1"])
VALUES = st.sampled_from(["", "1", "a b", "a=b", "%31", "é", '"q"'])
COOKIES = st.lists(
    st.sampled_from(["id=1", " id = 2", "id", "id=", "ID=3", "x-id=4; id=5", ";", " ", "xid=6", "id=a=b", '\tid="7" '])
).map(";".join)
LINES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["id", "X-Id", "x-id", "Accept"]), VALUES),
        st.tuples(st.sampled_from(["Cookie", "cookie"]), COOKIES),
    ),
    max_size=5,
)
QUERIES = st.lists(st.sampled_from(["id=1", "id", "id=%31", "i%64=2", "q+q=3", "%C3%A9=4", "&", "x=id", "id=2"])).map(
    lambda parts: "?" + "&".join(parts) if parts else ""
)
HASHED = st.one_of(
    st.builds(ConsistentHash, header=st.sampled_from(["id", "x-id"])),
    st.builds(ConsistentHash, cookie=st.sampled_from(["id", "x-id"])),
    st.builds(ConsistentHash, parameter=st.sampled_from(NAMES)),
    st.just(ConsistentHash(source_ip=True)),
)
BY = {"header": 1, "cookie": 2, "parameter": 3}


def chooser_of(hashed: ConsistentHash) -> Chooser:
    chooser = Chooser()
    name = (hashed.header or hashed.cookie or hashed.parameter).encode()
    by = next((number for field, number in BY.items() if getattr(hashed, field)), 4)
    kept = chooser.ffi.new("char[]", name)
    chooser.set([1], hash_by=by, hash_name=kept, hash_name_length=len(name))
    return chooser


@settings(max_examples=600, deadline=None)
@given(HASHED, LINES, QUERIES, PEERS)
def test_c_and_python_find_the_same(
    hashed: ConsistentHash, lines: list[tuple[str, str]], query: str, peer: str
) -> None:
    target = f"/p{query}"
    head = "\r\n".join([f"GET {target} HTTP/1.1", "host: shop", *(f"{n}: {v}" for n, v in lines), "", ""]).encode()
    request = Request("GET", target, [("host", "shop"), *((name, value.strip(" \t")) for name, value in lines)])
    assert chooser_of(hashed).key(head, peer) == key_hash(hashed, request, peer)


@pytest.mark.parametrize(
    ("hashed", "value"),
    [
        (ConsistentHash(header="x-id"), "a, b"),
        (ConsistentHash(cookie="c"), "2"),
        (ConsistentHash(parameter="q"), "1 2"),
    ],
)
def test_what_is_hashed(hashed: ConsistentHash, value: str) -> None:
    head = b"GET /?q=1+2&q=3 HTTP/1.1\r\nhost: shop\r\nX-Id: a\r\nx-id: b\r\ncookie: b=1; c=2\r\ncookie: c=3\r\n\r\n"
    assert chooser_of(hashed).key(head, "10.0.0.1") == hash_of(value.encode())


def test_a_client_is_hashed_by_its_address_alone() -> None:
    assert chooser_of(ConsistentHash(source_ip=True)).key(b"GET / HTTP/1.1\r\nhost: s\r\n\r\n", "10.0.0.1") == hash_of(
        bytes([10, 0, 0, 1])
    )


@pytest.mark.parametrize(
    ("hashed", "expected"),
    [
        (ConsistentHash(cookie="c"), None),
        (ConsistentHash(header="x-id", cookie_ttl_s=None), None),
        (ConsistentHash(cookie="c", cookie_ttl_s=0.0), "; HttpOnly"),
        (ConsistentHash(cookie="c", cookie_ttl_s=0.5, cookie_path="/p"), "; Max-Age=1; Path=/p; HttpOnly"),
    ],
)
def test_the_end_of_the_cookie(hashed: ConsistentHash, expected: str | None) -> None:
    assert cookie_end(hashed) == expected
