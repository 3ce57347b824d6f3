"""The server answers what is asked, refuses what is no question, and neither slows down nor grows."""

import json
import resource
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from onboard.webhook import serve
from onboard.webhook.certificate import Kept
from tests.unit.onboard.webhook.reviews import answer_of, pod, review
from tests.unit.onboard.webhook.server import Running, kept, running, write

KEPT = kept()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("webhook"), KEPT) as one:
        yield one


def raw(server: Running, sent: bytes, authority: Kept = KEPT) -> bytes:
    """All that comes back for these bytes."""
    context = ssl.create_default_context(cadata=authority.authority.decode("ascii"))
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as sock,
    ):
        sock.sendall(sent)
        found = b""
        while part := sock.recv(65536):
            found += part
        return found


def test_a_review_is_answered_over_a_connection_that_stays(server: Running) -> None:
    connection = server.connect(KEPT.authority)
    for _ in range(3):
        connection.request("POST", "/inject?timeout=10s", review(pod()))
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer_of(answer.read())["operations"]
    connection.close()


def test_probes_are_answered(server: Running) -> None:
    connection = server.connect(KEPT.authority)
    connection.request("GET", "/healthz/ready")
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST /inject HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /inject HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /inject HTTP/1.1\r\nContent-Length : 1\r\n\r\n", 400),
        (b"POST /inject HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST /inject HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
        (b"POST /inject HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", 431),
        (b"GET /inject HTTP/1.1\r\nConnection: close\r\n\r\n", 405),
        (b"POST /elsewhere HTTP/1.1\r\nConnection: close\r\n\r\n", 404),
    ],
    ids=str,
)
def test_what_is_no_question_is_refused(server: Running, sent: bytes, status: int) -> None:
    assert raw(server, sent).startswith(f"HTTP/1.1 {status} ".encode())


def test_a_thousand_bad_reviews_are_each_answered_within_a_second_and_memory_stays(server: Running) -> None:
    """Huge ones are as large as an API server would send. Counted is CPU time, of the client too: others work here."""
    many = pod()
    many["spec"]["containers"] = [
        {"name": f"c{n}", "image": "i:1", "env": [{"name": "A", "value": "b"}]} for n in range(9000)
    ]
    noted = pod()
    noted["metadata"]["annotations"] = {f"x/{n}": "y" * 100 for n in range(20_000)}
    listed = pod()
    listed["metadata"]["annotations"] = {"tidegate.dev/exclude-outbound-ports": ",".join(map(str, range(1, 2800)))}
    huge = [review(one) for one in (many, noted, listed)]
    assert max(len(body) for body in huge) > 600_000
    bad = [b"", b"{", b"[" * 200_000, b"\0" * 1000, b'{"kind":"AdmissionReview"}', review({"spec": 1}), review([])]
    slowest, after_a_tenth = 0.0, 0
    connection = server.connect(KEPT.authority)
    for number in range(1000):
        body = huge[number // 10 % 3] if number % 10 == 0 else bad[number % len(bad)]
        began = time.process_time()
        connection.request("POST", "/inject", body)
        answer = connection.getresponse()
        answer.read()
        slowest = max(slowest, time.process_time() - began)
        assert answer.status in (200, 400)
        if number == 100:
            after_a_tenth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    connection.close()
    assert slowest < 1.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - after_a_tenth < 32 << 10  # KiB
    assert answer_of(server.post(KEPT.authority, review(pod()))[1])["allowed"]


def test_slow_callers_do_not_keep_others_waiting(server: Running) -> None:
    context = ssl.create_default_context(cadata=KEPT.authority.decode("ascii"))
    slow = []
    for _ in range(serve.MOST_LARGE_BODIES + 4):
        sock = context.wrap_socket(socket.create_connection(("127.0.0.1", server.port)), server_hostname="localhost")
        sock.sendall(b"POST /inject HTTP/1.1\r\nContent-Length: 8000000\r\n\r\n{")
        slow.append(sock)
    began = time.monotonic()
    status, body = server.post(KEPT.authority, review(pod()))
    assert (status, json.loads(body)["response"]["allowed"]) == (200, True)
    assert time.monotonic() - began < 1.0
    for sock in slow:
        sock.close()


def test_a_new_certificate_is_taken_up_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "LOOK_S", 0.05)
    first, second = kept(), kept()
    with running(tmp_path, first) as server:
        assert server.post(first.authority, review(pod()))[0] == 200
        write(server.files, second)
        deadline = time.monotonic() + 5
        while True:
            try:
                assert server.post(second.authority, review(pod()))[0] == 200
                break
            except ssl.SSLCertVerificationError:
                assert time.monotonic() < deadline
                time.sleep(0.05)


def test_it_ends_although_a_caller_keeps_its_connection(tmp_path: Path) -> None:
    with running(tmp_path, KEPT) as server:
        connection = server.connect(KEPT.authority)
        connection.request("GET", "/healthz/live")
        connection.getresponse().read()
        began = time.monotonic()
    assert time.monotonic() - began < 5
    connection.close()
