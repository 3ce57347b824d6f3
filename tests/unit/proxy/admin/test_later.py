"""Answers that are being made while the loop goes on: they come whole, in order, and a client that goes is no harm."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from proxy.admin.messages import Given, Later, Request, Response
from tests.unit.proxy.admin.served import Served, served

HEAD = " HTTP/1.1\r\nHost: localhost\r\n\r\n"
made: list[str] = []


async def _slow(request: Request) -> Response:
    await asyncio.sleep(0.2)
    made.append(request.path)
    return Response(200, b"made " + request.path.encode())


def answer(request: Request) -> Given:
    if request.path.startswith("/later"):
        return Later(_slow(request))
    return Response(200, b"at once")


@pytest.fixture
def endpoint() -> Iterator[Served]:
    made.clear()
    with served(answer) as one:
        yield one


def test_it_comes_when_it_is_made(endpoint: Served) -> None:
    assert endpoint.ask("/later")[::2] == (200, "made /later")
    status, head, body = endpoint.ask("/later", method="HEAD")
    assert (status, body) == (200, "")
    assert "content-length: 11" in head


def test_requests_of_one_client_are_answered_in_order(endpoint: Served) -> None:
    text = endpoint.raw(f"GET /later/1{HEAD}GET /now{HEAD}GET /later/2{HEAD}".encode()).decode()
    assert [text.index(body) for body in ("made /later/1", "at once", "made /later/2")] == sorted(
        text.index(body) for body in ("made /later/1", "at once", "made /later/2")
    )


def test_others_are_answered_meanwhile(endpoint: Served) -> None:
    with endpoint.connect() as waiting:
        waiting.sendall(f"GET /later{HEAD}".encode())
        assert endpoint.ask("/now")[2] == "at once"
        assert made == []
        assert waiting.recv(4096).endswith(b"made /later")


def test_a_client_that_goes_meanwhile_is_no_harm(endpoint: Served) -> None:
    with endpoint.connect() as gone:
        gone.sendall(f"GET /later{HEAD}".encode())
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert endpoint.ask("/later/other")[2] == "made /later/other"
