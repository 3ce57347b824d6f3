"""One active health check: connecting, and for HTTP asking and looking at the status."""

import asyncio
import os
import socket

from proxy.core.addresses import UpstreamAddress, to_sockaddr
from proxy.core.policy.upstream import HealthCheck, HealthProtocol
from proxy.core.resilience.probed import judged

MAX_HEAD = 65536


class _Failed(Exception):
    """Why the check failed, for people."""


async def attempt(endpoint: UpstreamAddress, check: HealthCheck, host: str, mark: int | None) -> str | None:
    """None: it passed; otherwise why it did not. host: asked for where the check names none. mark: SO_MARK, which needs
    CAP_NET_ADMIN."""
    if check.port is not None:
        endpoint = UpstreamAddress(endpoint._replace(port=check.port))
    sock: socket.socket | None = None
    try:
        async with asyncio.timeout(check.timeout_s):
            sock = await _connected(endpoint, mark)
            if check.protocol is HealthProtocol.TCP:
                return None
            return judged(check, await _asked(sock, check, host))
    except TimeoutError:
        return f"no answer within {check.timeout_s:g} s"
    except _Failed as why:
        return str(why)
    except OSError as failed:
        return os.strerror(failed.errno) if failed.errno else str(failed)
    finally:
        if sock is not None:
            sock.close()


async def _connected(endpoint: UpstreamAddress, mark: int | None) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if endpoint.is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if mark is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        await asyncio.get_running_loop().sock_connect(sock, to_sockaddr(endpoint))
    except BaseException:
        sock.close()
        raise
    return sock


async def _asked(sock: socket.socket, check: HealthCheck, host: str) -> int:
    """The status of the answer."""
    import httptools

    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, _request(check, host))
    seen = _Seen()
    parser = httptools.HttpResponseParser(seen)
    total = 0
    while not seen.complete:
        data = await loop.sock_recv(sock, 4096)
        total += len(data)
        if not data or total > MAX_HEAD:
            raise _Failed("the answer's head is incomplete")
        try:
            parser.feed_data(data)
        except httptools.HttpParserError as wrong:
            raise _Failed(f"the answer is no HTTP: {wrong}") from None
    return int(parser.get_status_code())


class _Seen:
    """What the parser tells."""

    def __init__(self) -> None:
        self.complete = False

    def on_headers_complete(self) -> None:
        self.complete = True


def _request(check: HealthCheck, host: str) -> bytes:
    headers = {"host": check.host or host, "user-agent": "tidegate-health", "connection": "close"}
    headers |= {name.lower(): value for name, value in check.headers}
    lines = [f"{check.method} {check.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
