"""The client side of an agent: TCP and UDP exchanges, each returning one flat dict of what was seen."""

from __future__ import annotations

import errno
import json
import select
import socket
import struct
import time
from typing import Any

from tests.lab import wire
from tests.lab.patience import patient

TCP_FASTOPEN_CONNECT = 30
SO_MARK = 36
SO_BINDTODEVICE = 25

OUTCOMES = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.ECONNRESET: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
}


def outcome_of(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    return OUTCOMES.get(error.errno or 0, f"error: {error.strerror}")


def open_socket(kind: socket.SocketKind, host: str, options: dict[str, Any]) -> tuple[socket.socket, str]:
    """A socket prepared as `options` ask, and the host as that socket must be given it."""
    if options.get("mapped"):
        family, host = socket.AF_INET6, f"::ffff:{host}"
    else:
        family = socket.AF_INET6 if wire.is_v6(host) else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        sock.settimeout(patient(options.get("timeout", 3.0)))
        if options.get("mark") is not None:
            sock.setsockopt(socket.SOL_SOCKET, SO_MARK, options["mark"])
        if options.get("device"):
            sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, options["device"].encode() + b"\0")
        if options.get("source") or options.get("source_port"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            wildcard = "::" if family == socket.AF_INET6 else "0.0.0.0"
            sock.bind((options.get("source") or wildcard, options.get("source_port") or 0))
        if options.get("fastopen"):
            sock.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
    except OSError:
        sock.close()
        raise
    return sock, host


def zoned(host: str, port: int) -> tuple[Any, ...]:
    """Python takes the zone of `fe80::1%eth0` as a number of its own."""
    plain, _, zone = host.partition("%")
    return (plain, port, 0, socket.if_nametoindex(zone)) if zone else (host, port)


def connect(sock: socket.socket, address: tuple[Any, ...], *, nonblocking: bool, timeout: float) -> None:
    if not nonblocking:
        sock.connect(address)
        return
    sock.setblocking(False)
    code = sock.connect_ex(address)
    if code not in (0, errno.EINPROGRESS):
        raise OSError(code, errno.errorcode.get(code, "?"))
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    if not poll.poll(timeout * 1000):
        raise TimeoutError("connect")
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, errno.errorcode.get(code, "?"))
    sock.settimeout(timeout)


def fast_open(sock: socket.socket, address: tuple[str, int], data: bytes) -> None:
    """The other way to TCP Fast Open: data with the very first call, no connect()."""
    timeout = sock.gettimeout() or 0
    sock.setblocking(True)  # a Python timeout would make the socket non-blocking, and so the call
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(timeout), 0))
    sock.sendto(data, socket.MSG_FASTOPEN, address)
    sock.settimeout(timeout)


def read_line(sock: socket.socket) -> dict[str, Any] | None:
    """One JSON line, or None when the other side closed before a whole one arrived."""
    data = b""
    while not data.endswith(b"\n"):
        byte = sock.recv(1)
        if not byte:
            return None
        data += byte
    parsed: dict[str, Any] = json.loads(data)
    return parsed


def tcp(request: dict[str, Any], *, keep: dict[int, socket.socket] | None = None) -> dict[str, Any]:
    """Connect, read the banner, close (or `keep`: leave open under an id).

    A client that chose its source port leaves with a reset, so that the port is free again at once.
    """
    started = time.monotonic()
    try:
        sock, host = open_socket(socket.SOCK_STREAM, request["host"], request)
    except OSError as error:
        return {"status": outcome_of(error), "ms": 0.0, "line": None, "stage": "prepare"}
    result: dict[str, Any] = {"line": None, "stage": "connect"}
    try:
        nonblocking, timeout = bool(request.get("nonblocking")), patient(request.get("timeout", 3.0))
        if request.get("fastopen_sendto"):
            fast_open(sock, (host, request["port"]), request["send"].encode())
        else:
            connect(sock, zoned(host, request["port"]), nonblocking=nonblocking, timeout=timeout)
            sock.sendall(request.get("send", "").encode())
        result["connect_ms"] = (time.monotonic() - started) * 1000
        result["stage"] = "banner"
        result["line"] = read_line(sock)
        result["status"] = "ok" if result["line"] else "closed"
        result["local"] = wire.show(*sock.getsockname()[:2])
        result["remote"] = wire.show(*sock.getpeername()[:2])
    except OSError as error:
        result["status"] = outcome_of(error)
    result["ms"] = (time.monotonic() - started) * 1000
    if keep is not None and result["status"] == "ok":
        keep[sock.fileno()] = sock
        result["id"] = sock.fileno()
        return result
    if request.get("source_port"):
        reset_on_close(sock)
    sock.close()
    return result


def reset_on_close(sock: socket.socket) -> None:
    """No TIME_WAIT: the source port is free for the next connection."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def udp(request: dict[str, Any]) -> dict[str, Any]:
    """One datagram and its answer, over a connected or an unconnected socket; `sender` is whom recvfrom reports."""
    started = time.monotonic()
    try:
        sock, host = open_socket(socket.SOCK_DGRAM, request["host"], request)
    except OSError as error:
        return {"status": outcome_of(error), "ms": 0.0, "line": None, "stage": "prepare"}
    address = zoned(host, request["port"])
    result: dict[str, Any] = {"line": None, "stage": "answer"}
    with sock:
        try:
            if request.get("connected"):
                sock.connect(address)
                sock.send(request.get("send", "?").encode())
            else:
                sock.sendto(request.get("send", "?").encode(), address)
            data, sender = sock.recvfrom(65535)
            result |= {"status": "ok", "line": json.loads(data), "sender": wire.show(*sender[:2])}
            if request.get("connected"):
                result["remote"] = wire.show(*sock.getpeername()[:2])
        except OSError as error:
            result["status"] = outcome_of(error)
    result["ms"] = (time.monotonic() - started) * 1000
    return result


def echo(sock: socket.socket, size: int, timeout: float) -> dict[str, Any]:
    """Send `size` bytes of a known pattern and read them back; ok only when every byte came back in order."""
    pattern = bytes(range(256)) * 256
    sock.settimeout(patient(timeout))
    done = 0
    try:
        while done < size:
            chunk = pattern[: min(len(pattern), size - done)]
            sock.sendall(chunk)
            back = b""
            while len(back) < len(chunk):
                piece = sock.recv(len(chunk) - len(back))
                if not piece:
                    return {"status": "closed", "echoed": done + len(back)}
                back += piece
            if back != chunk:
                return {"status": "corrupt", "echoed": done}
            done += len(chunk)
    except OSError as error:
        return {"status": outcome_of(error), "echoed": done}
    return {"status": "ok", "echoed": done}
