"""What the proxy understands of DNS: never more than a header, never an exception."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core import dns

questions = st.builds(
    lambda ident, flags, rest: ident + bytes((flags & 0x7F,)) + rest,
    st.binary(min_size=2, max_size=2),
    st.integers(0, 255),
    st.binary(min_size=9, max_size=512),
)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_anything_may_come(datagram: bytes, other: bytes) -> None:
    if dns.is_question(other):
        assert dns.answers(datagram, other) in (True, False)
    assert not (dns.is_question(datagram) and dns.answers(datagram, datagram))


@given(questions)
def test_a_failure_is_the_answer_to_its_question(question: bytes) -> None:
    assert dns.is_question(question)
    failed = dns.failure(question)
    assert dns.answers(failed, question)
    assert failed[3] & 0x0F == 2
    assert len(failed) == dns.HEADER_SIZE


@given(questions, questions)
def test_an_answer_to_another_question_is_not_taken(one: bytes, other: bytes) -> None:
    assert dns.answers(dns.failure(one), other) == (one[:2] == other[:2])


def test_servers_of_resolv_conf() -> None:
    text = "# c\nnameserver 10.0.0.53\nsearch a b\nnameserver\nnameserver fd00::53 # x\nnameserver 10.0.0.53\n"
    assert dns.servers_in(text) == ["10.0.0.53", "fd00::53"]
