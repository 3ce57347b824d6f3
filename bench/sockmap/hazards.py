"""What a program sees of a TCP connection over loopback, question by question. Asked once with and once without an
accelerator, the answers that differ are what the accelerator breaks. Each takes the two ends, and may close them."""

import array
import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import NamedTuple

Ends = tuple[socket.socket, socket.socket]
MOST = 64 << 20
"""Bytes that `unread` sends before it calls it enough."""
_FIONREAD, _SIOCATMARK = 0x541B, 0x8905
_TCP_INQ = 36
_SO_ZEROCOPY, _MSG_ZEROCOPY = 60, 0x4000000
_SPLICE_NONBLOCK = 2
_SETTLE_S = 0.005


def ends() -> Ends:
    """(client, accepted), over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    for one in (client, accepted):
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.settimeout(2)
    return client, accepted


def _told(action: Callable[[], object]) -> str:
    try:
        return str(action())
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))


def _spliced(receiver: socket.socket) -> str:
    reading, writing = os.pipe()
    try:
        return _told(lambda: os.splice(receiver.fileno(), writing, 4096, flags=_SPLICE_NONBLOCK))
    finally:
        os.close(reading)
        os.close(writing)


def splice(client: socket.socket, accepted: socket.socket) -> str:
    client.send(b"hello")
    time.sleep(_SETTLE_S)
    ready = bool(select.select([accepted], [], [], 0)[0])
    return f"readable: {ready}, splice: {_spliced(accepted)}"


def splice_to_end(client: socket.socket, accepted: socket.socket) -> str:
    client.send(b"hello")
    client.shutdown(socket.SHUT_WR)
    time.sleep(_SETTLE_S)
    return f"5 bytes and FIN, splice: {_spliced(accepted)}"


def wait_all(client: socket.socket, accepted: socket.socket) -> str:
    """Both parts are there before the call, so that no timing decides."""
    accepted.settimeout(None)
    client.send(b"abc")
    if os.fork() == 0:
        time.sleep(4 * _SETTLE_S)
        client.send(b"defg")
        os._exit(0)
    got = accepted.recv(7, socket.MSG_WAITALL)
    os.wait()
    return f"3 bytes, then 4; recv of all 7: {len(got)}"


def discard(client: socket.socket, accepted: socket.socket) -> str:
    client.send(b"hello")
    time.sleep(_SETTLE_S)
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.recv(accepted.fileno(), None, 5, socket.MSG_TRUNC | socket.MSG_DONTWAIT)
    return f"recv(MSG_TRUNC): {result if result >= 0 else errno.errorcode[ctypes.get_errno()]}"


def queued(client: socket.socket, accepted: socket.socket) -> str:
    client.send(b"hello")
    time.sleep(_SETTLE_S)
    count = array.array("i", [0])
    fcntl.ioctl(accepted, _FIONREAD, count)
    return f"FIONREAD: {count[0]}"


def in_queue_message(client: socket.socket, accepted: socket.socket) -> str:
    accepted.setsockopt(socket.IPPROTO_TCP, _TCP_INQ, 1)
    client.send(b"hello")
    time.sleep(_SETTLE_S)
    _, told, _, _ = accepted.recvmsg(2, 64)
    return f"TCP_INQ after 2 of 5: {[struct.unpack('=i', data)[0] for _, _, data in told]}"


def low_water(client: socket.socket, accepted: socket.socket) -> str:
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 10)
    client.send(b"hello")
    time.sleep(_SETTLE_S)
    return f"SO_RCVLOWAT 10, 5 there: readable {bool(select.select([accepted], [], [], 0)[0])}"


def urgent(client: socket.socket, accepted: socket.socket) -> str:
    client.send(b"a")
    client.send(b"!", socket.MSG_OOB)
    client.send(b"b")
    time.sleep(_SETTLE_S)
    return f"recv: {accepted.recv(9)!r}, recv(MSG_OOB): {_told(lambda: accepted.recv(1, socket.MSG_OOB))}"


def zero_copy(client: socket.socket, accepted: socket.socket) -> str:
    client.setsockopt(socket.SOL_SOCKET, _SO_ZEROCOPY, 1)
    client.send(bytes(30000), _MSG_ZEROCOPY)
    left = 30000
    while left:
        left -= len(accepted.recv(left))
    time.sleep(_SETTLE_S)
    told = _told(lambda: len(client.recvmsg(0, 128, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)[1]))
    return f"completions: {told}"


def closed_unread(client: socket.socket, accepted: socket.socket) -> str:
    client.send(b"hello")
    time.sleep(_SETTLE_S)
    accepted.close()
    return f"the sender of what the closing end had not read sees: {_told(lambda: client.recv(9))}"


def unread(client: socket.socket, accepted: socket.socket) -> str:  # noqa: ARG001 # reads nothing, on purpose
    client.setblocking(False)
    sent, block = 0, bytes(1 << 16)
    while sent < MOST:
        try:
            sent += client.send(block)
        except BlockingIOError:
            return f"bounded: {sent < MOST}"
    return "bounded: False"


class Question(NamedTuple):
    ask: Callable[[socket.socket, socket.socket], str]
    whose: str
    """Whose program notices: the receiver's or the sender's."""
    hurts: str


QUESTIONS = (
    Question(splice, "receiver", "relays that splice stall (Go's io.Copy, HAProxy)"),
    Question(splice_to_end, "receiver", "the same lose bytes at the end of a stream and take it for complete"),
    Question(wait_all, "receiver", "readers of fixed-size records get a part of one"),
    Question(discard, "receiver", "readers that skip bytes fail"),
    Question(in_queue_message, "receiver", "readers that ask how much is left get no answer"),
    Question(queued, "receiver", "readers that ask first read nothing (nginx, Java's available)"),
    Question(low_water, "receiver", "readers wake early"),
    Question(urgent, "receiver", "urgent data is no longer urgent"),
    Question(zero_copy, "sender", "zero-copy senders wait for ever to reuse their buffers"),
    Question(closed_unread, "sender", "a reset looks like a clean end"),
    Question(unread, "sender", "a reader that stalls lets its peer fill the host's memory"),
)


def answer(question: Question) -> str:
    client, accepted = ends()
    with client, accepted:
        return question.ask(client, accepted)
