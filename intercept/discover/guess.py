"""What a connection probably speaks, by its first bytes, else by its port: then with a question mark. Pure."""

import re

_METHODS = re.compile(rb"[A-Z]{3,10} [/*h]")
_PORTS = {
    22: "ssh", 25: "smtp", 53: "dns", 80: "http", 110: "pop3", 123: "ntp", 143: "imap", 389: "ldap", 443: "tls",
    465: "tls", 587: "smtp", 636: "tls", 993: "tls", 995: "tls", 1433: "mssql", 2049: "nfs", 2379: "etcd",
    3306: "mysql", 5432: "postgresql", 5671: "tls", 5672: "amqp", 6379: "redis", 6443: "tls", 8080: "http",
    8443: "tls", 9042: "cassandra", 9092: "kafka", 9200: "http", 11211: "memcached", 27017: "mongodb", 50051: "grpc",
}  # fmt: skip
SERVER_FIRST = "server-first"


def guess(protocol: str, port: int, first: bytes, *, by_peer: bool = False) -> str:
    """Empty: nothing is known. by_peer: the first bytes are the other end's, of an outbound connection the server's."""
    found = _of_client(first) or _of_server(first)
    if found:
        return found
    likely = _PORTS.get(port, "")
    if protocol != "tcp" and port not in (53, 123, 443):
        likely = ""
    elif port == 443 and protocol == "udp":
        likely = "quic"
    if likely:
        return likely + "?"
    return SERVER_FIRST if first and by_peer else ""


def _of_client(first: bytes) -> str:
    if first.startswith(b"PRI * HTTP/2"):
        return "http/2"
    if _METHODS.match(first):
        return "http"
    if len(first) >= 3 and first[0] == 0x16 and first[1] == 3:
        return "tls"
    if len(first) >= 8 and first[4:8] in (b"\x00\x03\x00\x00", b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30"):
        return "postgresql"
    if re.match(rb"\*\d{1,4}\r\n\$", first):
        return "redis"
    if first.startswith(b"AMQP"):
        return "amqp"
    return "memcached" if re.match(rb"(get|set|gets|stats|version)[ \r]", first) else ""


def _of_server(first: bytes) -> str:
    if first.startswith(b"SSH-"):
        return "ssh"
    if first.startswith(b"HTTP/1."):
        return "http"
    if len(first) >= 8 and first[3] == 0 and first[4] == 10 and first[5:6].isdigit():
        return "mysql"
    if re.match(rb"220[ -]", first):
        return "smtp"
    return "imap" if first.startswith(b"* OK") else "pop3" if first.startswith(b"+OK") else ""
