"""cext/engine/route for tests: compiled once a session; requests go through the real framer."""

import os
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from cext.engine.build import declared
from proxy.core.decide.heads import Reached
from proxy.core.lower.to_site import site_table
from proxy.core.policy.cluster import Cluster
from proxy.core.policy.http import HttpRule
from tests.unit.cext.http.framer import ENGINE, SOURCES, _declarations, compiled

_ADDRESS = "typedef struct { uint8_t ip[16]; uint32_t zone; uint16_t port; uint16_t family; } tg_address;"
_OURS = """
struct tg_site; struct tg_door;
enum route_kind { ROUTE_FORWARD, ROUTE_ANSWER, ROUTE_ASK };
struct route_outcome { enum route_kind kind; int why; struct tg_site *site; int32_t rule; int32_t backend;
    uint64_t cluster; uint16_t status; bool edits_request; bool edits_answer; uint8_t mirror_count; uint64_t mirrors[8];
    ...; };
struct tg_door { tg_decider decider; void *data; };
struct tg_site *site_new(uint64_t number, const tg_site_spec *spec, int *error);
void site_release(struct tg_site *site);
enum route_kind route_decide(struct tg_site *, const struct http_head *, const char *, uint64_t,
    struct route_outcome *);
enum route_kind route_ask(const struct tg_door *, const struct http_head *, const char *, const tg_address *,
    struct route_outcome *);
void route_release(struct route_outcome *outcome);
int64_t route_write_request(const struct route_outcome *, const struct http_head *, const char *, char *, size_t);
int64_t route_write_answer(struct route_outcome *, const struct http_head *, const char *, char *, size_t);
struct session_token { uint64_t endpoint; uint64_t issued_s; uint64_t used_s; };
struct tg_site { tg_site_spec spec; ...; };
bool session_read(const struct tg_site *, const tg_session *, const struct http_head *, const char *, uint64_t,
    struct session_token *);
char *session_line(const struct tg_site *, const tg_session *, const struct session_token *, uint64_t, uint32_t *);
void free(void *);
int64_t route_write_own(const struct route_outcome *, const struct http_head *, const char *, char *, size_t);
"""
ROOM = 200_000
PLAIN = Reached(80)
KINDS = ("forward", "answer", "ask")


@cache
def library() -> tuple[Any, Any]:
    sources = [path for path in sorted((ENGINE / "route").rglob("*.c")) if path.name not in ("put.c", "sites.c")]
    sources += [ENGINE / "limits" / f"{name}.c" for name in ("callers", "hedger")]
    spec = "\n".join(line for line in declared("route/spec.h").splitlines() if "tg_engine" not in line)
    return compiled(
        "_router",
        "\n".join((_declarations("head.h"), _declarations("frame.h"), _ADDRESS, spec, _OURS)),
        'frame.h"\n#include <stdlib.h>\n#include "route/heads/session.h"\n#include "route/ask.h',
        [*SOURCES, *sources],
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    kind: str
    rule: int | None
    target: int | None
    cluster: int
    status: int
    mirrors: tuple[int, ...]
    edits_request: bool
    edits_answer: bool
    request: bytes = b""
    """The head that goes upstream, where it is edited."""
    answer: bytes = b""
    """The edited head of ANSWER, or the whole answer of our own."""


ANSWER = b"HTTP/1.1 200 OK\r\nServer: x\r\nX-Old:  1\r\nVary: a\r\nAccess-Control-Allow-Origin: no\r\n\r\n"


class Numbers(dict[str, int]):
    def of(self, cluster: Cluster) -> int:
        return self.setdefault(cluster.name, len(self) + 1)


class Site:
    """Ours until `close`."""

    def __init__(self, rules: Sequence[HttpRule], reached: Reached = PLAIN, *, ask_always: bool = False) -> None:
        ffi, lib = library()
        self.numbers = Numbers()
        table = site_table(rules, self.numbers.of, reached, ask_always=ask_always)
        made, kept = spec_of(table)
        error = ffi.new("int *")
        self.handle = lib.site_new(7, made, error)
        if not self.handle:
            raise OSError(-error[0], os.strerror(-error[0]))
        del kept

    def close(self) -> None:
        library()[1].site_release(self.handle)

    def session(self, head: bytes, now_s: int) -> tuple[int, int, int] | None:
        """What the token of the first rule's session says; None: there is none, or its time is over."""
        ffi, lib = library()
        token = ffi.new("struct session_token *")
        given = ffi.from_buffer(head)
        with framed(head, answer=False) as parsed:
            if not lib.session_read(self.handle, self.handle.spec.sessions, parsed, given, now_s, token):
                return None
        return token.endpoint, token.issued_s, token.used_s

    def session_line(self, token: tuple[int, int, int], now_s: int) -> bytes:
        ffi, lib = library()
        length = ffi.new("uint32_t *")
        given = ffi.new("struct session_token *", token)
        made = lib.session_line(self.handle, self.handle.spec.sessions, given, now_s, length)
        try:
            return bytes(ffi.buffer(made, length[0]))
        finally:
            lib.free(made)

    def decide(self, head: bytes, random: int = 0, door: Any = None) -> Outcome:
        """door: a tg_door, which is asked where the table can't say."""
        ffi, lib = library()
        with framed(head, answer=False) as parsed, framed(ANSWER, answer=True) as answered:
            outcome = ffi.new("struct route_outcome *")
            given = ffi.from_buffer(head)
            kind = lib.route_decide(self.handle, parsed, given, random, outcome)
            if kind == lib.ROUTE_ASK and door is not None:
                kind = lib.route_ask(door, parsed, given, ffi.NULL, outcome)
            assert kind == outcome.kind
            request = answer = b""
            if kind == lib.ROUTE_FORWARD and outcome.edits_request:
                request = _written(lib.route_write_request, outcome, parsed, given)
            if kind == lib.ROUTE_FORWARD and outcome.edits_answer:
                answer = _written(lib.route_write_answer, outcome, answered, ffi.from_buffer(ANSWER))
            if kind == lib.ROUTE_ANSWER:
                answer = _written(lib.route_write_own, outcome, parsed, given)
            found = Outcome(
                KINDS[kind],
                None if outcome.rule < 0 else outcome.rule,
                None if outcome.backend < 0 else outcome.backend,
                outcome.cluster,
                outcome.status,
                tuple(outcome.mirrors[0 : outcome.mirror_count]),
                outcome.edits_request,
                outcome.edits_answer,
                request,
                answer,
            )
            lib.route_release(outcome)
            return found


def spec_of(table: Any) -> tuple[Any, Any]:
    """Like cext.engine.sites.spec, with the test's own library."""
    ffi, _ = library()
    names = {"rules": "tg_site_rule", "conditions": "tg_condition", "backends": "tg_backend", "filters": "tg_filters"}
    names |= {"edits": "tg_edit", "mirrors": "tg_mirror", "cors": "tg_cors", "pieces": "tg_piece"}
    names["sessions"] = "tg_session"
    made = ffi.new(
        "tg_site_spec *", {"tag": 3, "flags": table.flags, "port": table.port, "text_length": len(table.text)}
    )
    kept = [ffi.from_buffer(table.text)]
    made.text = ffi.cast("char *", kept[0])
    for name, struct in names.items():
        kept.append(ffi.from_buffer(getattr(table, name)))
        setattr(made, name, ffi.cast(f"{struct} *", kept[-1]))
        counted = "cors_count" if name == "cors" else f"{name.removesuffix('s')}_count"
        setattr(made, counted, len(getattr(table, name)) // ffi.sizeof(struct))
    return made, kept


@contextmanager
def framed(head: bytes, *, answer: bool) -> Any:
    """A struct http_head of the bytes. AssertionError: the framer does not take them."""
    ffi, lib = library()
    frame = ffi.new("struct frame *")
    parsed = ffi.new("struct http_head *")
    (lib.frame_answers if answer else lib.frame_requests)(frame)
    lib.frame_lend(frame, parsed)
    used = ffi.new("size_t *")
    step = lib.frame_pass(frame, head, 0, len(head), used)
    assert step == lib.FRAME_HEAD, (step, frame.refusal, head)
    yield parsed


def takes(head: bytes) -> bool:
    ffi, lib = library()
    frame, parsed, used = ffi.new("struct frame *"), ffi.new("struct http_head *"), ffi.new("size_t *")
    lib.frame_requests(frame)
    lib.frame_lend(frame, parsed)
    return bool(lib.frame_pass(frame, head, 0, len(head), used) == lib.FRAME_HEAD)


def _written(write: Any, outcome: Any, head: Any, given: Any) -> bytes:
    ffi, _ = library()
    out = ffi.new("char[]", ROOM)
    length = write(outcome, head, given, out, ROOM)
    assert length > 0
    return bytes(ffi.buffer(out, length))
