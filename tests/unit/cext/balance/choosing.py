"""cext/engine/decide/choose.c and decide/affinity.c for tests: compiled once a session."""

from __future__ import annotations

import importlib.util
import re
import tempfile
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from cffi import FFI

from cext.engine.build import declared

ENGINE = Path(__file__).resolve().parents[4] / "cext" / "engine"
FLAGS = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"]
NAMES = (
    "decide/choose",
    "decide/verdict",
    "decide/groups",
    "decide/affinity",
    "base/address",
    "base/stride",
    "database/counts",
    "database/kinds",
    "tell/buckets",
)
_DECLARED = """
struct tg_affinity { uint64_t of; uint64_t ms; };
struct bench *bench_new(void);
void bench_free(struct bench *bench);
bool bench_find(struct bench *bench, uint64_t of, const tg_address *client, uint64_t now_ms, tg_address *endpoint);
void bench_keep(struct bench *bench, const struct tg_affinity *affinity, const tg_address *client,
                const tg_address *endpoint, uint64_t now_ms);
bool bench_set(struct bench *bench, const tg_verdict *verdict);
bool bench_denies(struct bench *bench, const tg_address *client);
uint32_t bench_choose(struct bench *bench, const tg_address *client, uint64_t random, uint64_t now_ms, bool remember);
void bench_open(struct bench *bench, uint32_t target);
"""
_SOURCE = """
#include <stdlib.h>
#include "base/counter.h"
#include "decide/choose.h"

struct bench {
    struct tg_affinities affinities;
    struct tg_groups groups;
    struct tg_ruling *ruling;
};

static struct bench *bench_new(void)
{
    struct bench *bench = calloc(1, sizeof *bench);
    bench->groups.workers = 1;
    affinities_init(&bench->affinities, 7);
    if (!affinities_prepare(&bench->affinities))
        abort();
    return bench;
}

static void bench_free(struct bench *bench)
{
    if (bench->ruling != NULL)
        ruling_release(bench->ruling);
    affinities_destroy(&bench->affinities);
    groups_destroy(&bench->groups);
    free(bench);
}

static bool bench_find(struct bench *bench, uint64_t of, const tg_address *client, uint64_t now_ms, tg_address *found)
{
    return affinity_find(&bench->affinities, of, client, now_ms, found);
}

static void bench_keep(struct bench *bench, const struct tg_affinity *affinity, const tg_address *client,
                       const tg_address *endpoint, uint64_t now_ms)
{
    affinity_keep(&bench->affinities, affinity, client, endpoint, now_ms);
}

static bool bench_set(struct bench *bench, const tg_verdict *verdict)
{
    if (bench->ruling != NULL)
        ruling_release(bench->ruling);
    bench->ruling = ruling_new(&bench->groups, verdict);
    return bench->ruling != NULL;
}

static bool bench_denies(struct bench *bench, const tg_address *client)
{
    return ruling_denies(bench->ruling, client);
}

static uint32_t bench_choose(struct bench *bench, const tg_address *client, uint64_t random, uint64_t now_ms,
                             bool remember)
{
    const struct tg_chooser chooser = {&bench->affinities, 1, now_ms, random};
    const uint32_t target = ruling_choose(bench->ruling, &chooser, client);
    if (remember)
        ruling_remember(bench->ruling, &chooser, client, target);
    return target;
}

static void bench_open(struct bench *bench, uint32_t target)
{
    counter_add(&group_share(bench->ruling->targets[target].group, 0)->opened, 1);
}
"""


@cache
def library() -> tuple[Any, Any]:
    builder = FFI()
    text = "\n".join(line for line in declared("engine.h").splitlines() if line.startswith("#define"))
    kinds = "\n".join(
        re.findall(r"^(?:enum \w+|typedef struct) \{[^{}]*\}[^;{}]*;", declared("engine.h"), re.MULTILINE)
    )
    builder.cdef(text + "\n" + kinds + _DECLARED)
    builder.set_source(
        "_choosing",
        _SOURCE,
        sources=[str(ENGINE / f"{name}.c") for name in NAMES],
        include_dirs=[str(ENGINE)],
        extra_compile_args=FLAGS,
        extra_link_args=["-lm", "-pthread"],
    )
    with tempfile.TemporaryDirectory() as folder:
        spec = importlib.util.spec_from_file_location("_choosing", builder.compile(tmpdir=folder))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module.ffi, module.lib


def address(ip: str, port: int = 0) -> dict[str, object]:
    found = ip_address(ip)
    return {"ip": found.packed.ljust(16, b"\0"), "family": found.version, "port": port}


class Bench:
    """Affinities of one engine, and a ruling whose targets are 10.9.0.N:80 with groups N + 1."""

    def __init__(self) -> None:
        self.ffi, self.lib = library()
        self.handle = self.ffi.gc(self.lib.bench_new(), self.lib.bench_free)

    def find(self, of: int, client: str, now: int) -> str | None:
        found = self.ffi.new("tg_address *")
        if not self.lib.bench_find(self.handle, of, self.ffi.new("tg_address *", address(client)), now, found):
            return None
        return str(ip_address(bytes(found.ip)[:4]))

    def keep(self, of: int, client: str, endpoint: str, now: int, ms: int) -> None:
        affinity = self.ffi.new("struct tg_affinity *", {"of": of, "ms": ms})
        client_address, to = (self.ffi.new("tg_address *", address(one)) for one in (client, endpoint))
        self.lib.bench_keep(self.handle, affinity, client_address, to, now)

    def set(self, weights: list[int], balance: int = 0, *, affinity_ms: int = 0, denied: tuple[str, ...] = ()) -> None:
        endpoints = self.ffi.new("tg_endpoint[]", len(weights))
        for number, weight in enumerate(weights):
            endpoints[number].address = address(f"10.9.0.{number}", 80)
            endpoints[number].weight, endpoints[number].group = weight, number + 1
        networks = self.ffi.new("tg_network[]", [_network(one) for one in denied])
        asked = {"balance": balance, "endpoints": endpoints, "endpoint_count": len(weights), "affinity": 1}
        asked |= {"affinity_ms": affinity_ms, "denied": networks, "denied_count": len(denied)}
        assert self.lib.bench_set(self.handle, self.ffi.new("tg_verdict *", asked))

    def denies(self, client: str) -> bool:
        return bool(self.lib.bench_denies(self.handle, self.ffi.new("tg_address *", address(client))))

    def choose(self, client: str, random: int, now: int = 1, *, remember: bool = False) -> int:
        given = self.ffi.new("tg_address *", address(client))
        return int(self.lib.bench_choose(self.handle, given, random, now, remember))

    def open(self, target: int) -> None:
        self.lib.bench_open(self.handle, target)


def _network(text: str) -> dict[str, object]:
    network = ip_network(text)
    ip = network.network_address.packed.ljust(16, b"\0")
    return {"ip": ip, "family": network.version, "bits": network.prefixlen}
