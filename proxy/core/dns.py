"""Just as much of DNS as passing it on takes: what is a question, what is its answer. RFC 1035 section 4.1.1."""

HEADER_SIZE = 12
LARGEST = 65_535
_RESPONSE = 0x80
_OPCODE_AND_REST = 0x79  # what a question and its answer have in common in the third byte: opcode and RD
_SERVFAIL = 2


def is_question(datagram: bytes) -> bool:
    return len(datagram) >= HEADER_SIZE and not datagram[2] & _RESPONSE


def answers(datagram: bytes, question: bytes) -> bool:
    """Whether `datagram` can be the answer to `question`: same id, and a response."""
    return len(datagram) >= HEADER_SIZE and datagram[:2] == question[:2] and bool(datagram[2] & _RESPONSE)


def asked(question: bytes) -> bytes:
    """What is asked, whoever asks and however: name, type and class. Equal for questions with the same answer."""
    at = HEADER_SIZE
    while at < len(question) and question[at] != 0:
        at += 1 + question[at]
    return question[HEADER_SIZE : at + 5].lower()


def failure(question: bytes) -> bytes:
    """SERVFAIL for a question that no server answered: a client told so tries on at once instead of waiting."""
    flags = bytes((_RESPONSE | (question[2] & _OPCODE_AND_REST), _SERVFAIL))
    return question[:2] + flags + b"\0" * 8


def servers_in(resolv_conf: str) -> list[str]:
    """Addresses of the `nameserver` lines, in order, each once."""
    words = (line.split() for line in resolv_conf.splitlines())
    found = [line[1] for line in words if len(line) >= 2 and line[0] == "nameserver"]
    return list(dict.fromkeys(found))
