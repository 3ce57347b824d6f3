"""`exchange_tell` for tests: made up exchanges, told to a real engine as its worker would tell them."""

import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from cffi import FFI

from cext.engine import build
from cext.engine._engine import ffi as engine_ffi
from cext.engine.engine import Engine
from cext.engine.exchanges import Exchanges

ENGINE = Path(build.ROOM)
_SHIM = (
    "\n".join(f'#include "{name}"' for name in build.INTERFACE)
    + """
#include "state.h"
#include "tell/exchanges.h"
static void tell(uintptr_t engine, unsigned worker, const struct exchange_told *told, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        exchange_tell(&((struct tg_engine *)engine)->workers[worker], told);
}
"""
)
_DECLARED = """
struct tg_text { const char *at; size_t length; };
struct exchange_told { tg_exchange_record record; struct tg_text method, authority, target, service, route; };
void tell(uintptr_t engine, unsigned worker, const struct exchange_told *told, unsigned times);
"""
TEXTS = ("method", "authority", "target", "service", "route")


@cache
def _library() -> tuple[Any, Any]:
    builder = FFI()
    builder.cdef(build.declarations() + _DECLARED)
    builder.set_source(
        "_teller",
        _SHIM,
        sources=[str(build.TOP / source) for source in build.SOURCES],
        include_dirs=[str(ENGINE)],
        extra_compile_args=["-std=gnu11", "-O1", "-D_GNU_SOURCE", "-pthread"],
        extra_link_args=["-pthread", "-Wl,-Bsymbolic"],
    )
    with tempfile.TemporaryDirectory() as folder:
        spec = importlib.util.spec_from_file_location("_teller", builder.compile(tmpdir=folder))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module.ffi, module.lib


def address(ip: bytes, port: int) -> dict[str, object]:
    return {"ip": ip.ljust(16, b"\0"), "port": port, "family": 4 if len(ip) == 4 else 6}


class Teller:
    """An engine without listeners, whose workers sleep: the test stands in for them."""

    def __init__(self, threads: int = 1) -> None:
        self.engine = Engine(threads=threads, capacity=16)
        self.exchanges = Exchanges(self.engine)

    def tell(self, *, worker: int = 0, times: int = 1, **values: Any) -> None:
        """values: of the record, and the five texts as bytes."""
        ffi, lib = _library()
        told = ffi.new("struct exchange_told *")
        held = []
        for name in TEXTS:
            text = values.pop(name, b"")
            held.append(ffi.from_buffer(text))
            getattr(told, name).at, getattr(told, name).length = held[-1], len(text)
        record = {"upstream_us": -1, "grpc": -1, "major": 1, "minor": 1, "attempts": 1, "status": 200, "scope": 1}
        record |= {"peer": address(b"\x0a\x00\x00\x01", 40000), "original": address(b"\x0a\x00\x00\x02", 80)}
        told.record = record | values
        lib.tell(int(engine_ffi.cast("uintptr_t", self.engine.handle)), worker, told, times)


@contextmanager
def teller(threads: int = 1) -> Iterator[Teller]:
    made = Teller(threads)
    try:
        yield made
    finally:
        made.engine.close()
