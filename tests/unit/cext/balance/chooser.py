"""cext/engine/balance for tests: compiled once a session, without an engine around it."""

from __future__ import annotations

import importlib.util
import re
import tempfile
from collections.abc import Sequence
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cffi import FFI

from cext.engine.build import declarations
from tests.unit.cext.http.framer import SOURCES

ENGINE = Path(__file__).resolve().parents[4] / "cext" / "engine"
FLAGS = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"]
NONE, FULL = -1, -2
MS = 1000

_DECLARED = """
struct tg_clusters;
struct tg_cluster;
struct tg_allowance { double percent; double per_s; };
struct tg_clusters *bench_new(unsigned workers);
void bench_free(struct tg_clusters *clusters);
size_t bench_states(struct tg_clusters *clusters);
int bench_counts(struct tg_clusters *clusters, uint64_t group, tg_endpoint_counts *out);
int bench_news(struct tg_clusters *clusters, uint64_t *group);
int clusters_set(struct tg_clusters *clusters, uint32_t number, const tg_cluster_spec *spec);
int clusters_remove(struct tg_clusters *clusters, uint32_t number);
struct tg_cluster *bench_use(struct tg_clusters *clusters);
struct tg_cluster *bench_keep(struct tg_clusters *clusters);
int32_t cluster_pick(struct tg_cluster *cluster, unsigned worker, const uint64_t *hash, const uint32_t *tried,
                     unsigned tried_count, uint64_t random, uint64_t now_us);
void endpoint_began(struct tg_cluster *cluster, unsigned worker, uint32_t endpoint);
void endpoint_answered(struct tg_cluster *cluster, unsigned worker, uint32_t endpoint, int status, uint64_t latency_us,
                       uint64_t now_us);
void endpoint_ended(struct tg_cluster *cluster, unsigned worker, uint32_t endpoint, enum tg_request_end how,
                    uint64_t elapsed_us, uint64_t now_us);
bool limit_take(struct tg_cluster *cluster, enum tg_limit limit);
void limit_give(struct tg_cluster *cluster, enum tg_limit limit);
struct tg_taken { struct tg_usage *usage; struct tg_endpoint_state *state; };
bool taken_take(struct tg_cluster *cluster, uint32_t endpoint, struct tg_taken *taken);
void taken_give(struct tg_taken *taken);
void cluster_request(struct tg_cluster *cluster, unsigned worker, uint64_t now_us);
bool cluster_may_repeat(struct tg_cluster *cluster, unsigned worker, enum tg_budget_kind kind,
                        const struct tg_allowance *allowance, uint64_t now_us);
uint64_t bench_hash(const char *bytes, size_t length);
int bench_key(struct tg_cluster *cluster, const char *head, size_t length, const tg_address *peer, uint64_t *hash);
struct tg_callers;
struct tg_callers *callers_new(bool many);
void callers_release(struct tg_callers *callers);
struct tg_hedger;
struct tg_hedger *hedger_new(void);
void hedger_release(struct tg_hedger *hedger);
uint64_t hedger_begin(struct tg_hedger *hedger, double quantile, uint64_t now_us);
void hedger_answered(struct tg_hedger *hedger, uint64_t elapsed_us, uint64_t now_us);
bool hedger_bears(struct tg_hedger *hedger, double quantile, uint64_t now_us);
uint64_t callers_admit(struct tg_callers *callers, uint64_t key, double per_s, uint32_t burst, uint64_t now_us);
"""

_SOURCE = """
#include <stdlib.h>
#include "limits/callers.h"
#include "limits/hedger.h"
#include "balance/clusters.h"
#include "balance/dice.h"
#include "balance/key.h"
#include "balance/pick.h"
#include "http/frame.h"

/* Python's collector has no order, so what is held is given back here. */
struct bench {
    struct tg_clusters clusters;
    struct tg_cluster *held;
    struct tg_cluster *kept;
    struct tg_groups groups;
};

static struct tg_clusters *bench_new(unsigned workers)
{
    struct tg_clusters *clusters = calloc(1, sizeof(struct bench));
    if (clusters == NULL)
        return NULL;
    struct bench *bench = (struct bench *)clusters;
    bench->groups.workers = workers;
    if (clusters_init(clusters, calloc(1, sizeof(struct tg_epochs)), &bench->groups, workers) < 0)
        abort();
    return clusters;
}

static void give_back(struct tg_cluster *cluster)
{
    if (cluster != NULL)
        cluster_release(cluster);
}

/* The cluster that is in force now; the one held before is given back. */
static struct tg_cluster *bench_use(struct tg_clusters *clusters)
{
    struct bench *bench = (struct bench *)clusters;
    give_back(bench->held);
    return bench->held = clusters_find(clusters, 0);
}

/* Holds the present one until the end. */
static struct tg_cluster *bench_keep(struct tg_clusters *clusters)
{
    struct bench *bench = (struct bench *)clusters;
    give_back(bench->kept);
    return bench->kept = clusters_find(clusters, 0);
}

static void bench_free(struct tg_clusters *clusters)
{
    give_back(((struct bench *)clusters)->held);
    give_back(((struct bench *)clusters)->kept);
    epoch_reclaim(clusters->epochs);
    free(clusters->epochs);
    clusters_destroy(clusters);
    groups_destroy(&((struct bench *)clusters)->groups);
    free(clusters);
}

static size_t bench_states(struct tg_clusters *clusters)
{
    epoch_reclaim(clusters->epochs);
    endpoints_sweep(&clusters->endpoints);
    return clusters->endpoints.count;
}

static int bench_counts(struct tg_clusters *clusters, uint64_t group, tg_endpoint_counts *out)
{
    struct tg_endpoint_state *state = endpoints_find(&clusters->endpoints, group);
    if (state == NULL)
        return -1;
    endpoint_count(state, clusters->endpoints.workers, out);
    return 0;
}

/* The news of one endpoint; 0: there is none. */
static int bench_news(struct tg_clusters *clusters, uint64_t *group)
{
    struct tg_node *node = news_take(&clusters->endpoints.room);
    struct tg_endpoint_state *state = (struct tg_endpoint_state *)node;
    if (node == NULL)
        return 0;
    for (struct tg_node *later = node->next, *next; later != NULL; later = next) {
        next = later->next;
        news_post(&clusters->endpoints.room, later);
    }
    *group = state->group;
    const int news = (int)atomic_exchange(&state->news, 0);
    endpoints_drop(state);
    return news;
}

static uint64_t bench_hash(const char *bytes, size_t length)
{
    return dice_hash(bytes, length);
}

/* -1: the bytes are no head; 0: nothing that is hashed came. */
static int bench_key(struct tg_cluster *cluster, const char *bytes, size_t length, const tg_address *peer,
                     uint64_t *hash)
{
    struct frame frame;
    struct http_head head;
    size_t used;
    frame_requests(&frame);
    frame_lend(&frame, &head);
    if (frame_pass(&frame, bytes, 0, length, &used) != FRAME_HEAD)
        return -1;
    return key_hash(cluster, &head, bytes, peer, hash);
}
"""


def _values() -> str:
    """The structs and enums of engine.h that a cluster is described by."""
    text = declarations()
    address = re.search(r"typedef struct \{[^{}]*\} tg_address;", text)
    assert address is not None
    begin, end = text.index("#define TG_FIRST_STATUS"), text.index("/* Puts a cluster in force")
    return address.group() + "\n" + text[begin:end]


@cache
def library() -> tuple[Any, Any]:
    builder = FFI()
    builder.cdef(_values() + _DECLARED)
    sources = [path for path in sorted((ENGINE / "balance").glob("*.c")) if path.name != "put.c"]
    sources += [ENGINE / "base" / f"{name}.c" for name in ("stride", "epoch")]
    others = ("decide/groups.c", "route/path.c", "limits/callers.c", "limits/hedger.c")
    counted = ("database/counts.c", "database/kinds.c", "tell/buckets.c")  # what a group counts of databases
    sources += [*SOURCES, *(ENGINE / one for one in (*others, *counted))]
    builder.set_source(
        "_chooser",
        _SOURCE,
        sources=[str(path) for path in sources],
        include_dirs=[str(ENGINE)],
        extra_compile_args=FLAGS,
        extra_link_args=["-lm", "-pthread"],
    )
    with tempfile.TemporaryDirectory() as folder:
        spec = importlib.util.spec_from_file_location("_chooser", builder.compile(tmpdir=folder))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module.ffi, module.lib


class Chooser:
    """One table of clusters, cluster 0 of it in use. Endpoints are called by their index; their groups begin at 100."""

    def __init__(self, workers: int = 1) -> None:
        self.ffi, self.lib = library()
        self.clusters = self.ffi.gc(self.lib.bench_new(workers), self.lib.bench_free)
        self.cluster: Any = None

    def set(
        self,
        weights: Sequence[int],
        choose: int = 0,
        *,
        places: Sequence[int] = (),
        points: Sequence[int] = (),
        trials: Sequence[int] = (),
        groups: Sequence[int] = (),
        **fields: object,
    ) -> None:
        endpoints = self.ffi.new("tg_cluster_endpoint[]", len(weights))
        for index, weight in enumerate(weights):
            endpoints[index].address = {"ip": bytes([10, 0, 0, index % 250]).ljust(16, b"\0"), "port": 80, "family": 4}
            endpoints[index].group = groups[index] if groups else 100 + index
            endpoints[index].weight, endpoints[index].trial = weight, index in trials
        held = (
            self.ffi.new("uint32_t[]", list(places)) if places else self.ffi.NULL,
            self.ffi.new("uint64_t[]", list(points)) if points else self.ffi.NULL,
        )
        spec = {"choose": choose, "endpoint_count": len(weights), "endpoints": endpoints, "table_size": len(places)}
        spec |= {"places": held[0], "points": held[1]} | fields
        assert self.lib.clusters_set(self.clusters, 0, self.ffi.new("tg_cluster_spec *", spec)) == 0
        self.use()

    def use(self) -> None:
        """Hold the cluster that is in force now."""
        self.cluster = self.lib.bench_use(self.clusters) or None

    def keep(self) -> Any:
        """The cluster that is in force now, until the end."""
        return self.lib.bench_keep(self.clusters)

    def pick(
        self, seed: int, *, now: int = 1, tried: Sequence[int] = (), key: int | None = None, worker: int = 0
    ) -> int:
        hashed = self.ffi.NULL if key is None else self.ffi.new("uint64_t *", key)
        return int(
            self.lib.cluster_pick(
                self.cluster, worker, hashed, self.ffi.new("uint32_t[]", list(tried)), len(tried), seed, now
            )
        )

    def key(self, head: bytes, peer: str) -> int | None:
        """What the cluster looks the request up by; ValueError: the bytes are no head."""
        ip = ip_address(peer)
        address = self.ffi.new("tg_address *", {"ip": ip.packed.ljust(16, b"\0"), "family": ip.version})
        found = self.ffi.new("uint64_t *")
        came = self.lib.bench_key(self.cluster, head, len(head), address, found)
        if came < 0:
            raise ValueError(head)
        return int(found[0]) if came else None

    def began(self, endpoint: int, worker: int = 0) -> None:
        self.lib.endpoint_began(self.cluster, worker, endpoint)

    def answered(self, endpoint: int, latency: int, *, now: int = 1, status: int = 200, worker: int = 0) -> None:
        self.lib.endpoint_answered(self.cluster, worker, endpoint, status, latency, now)

    def ended(self, endpoint: int, how: int = 0, *, elapsed: int = 0, now: int = 1, worker: int = 0) -> None:
        self.lib.endpoint_ended(self.cluster, worker, endpoint, how, elapsed, now)

    def exchange(self, endpoint: int, latency: int, *, now: int = 1, status: int = 200, worker: int = 0) -> None:
        """A whole one."""
        self.began(endpoint, worker)
        self.answered(endpoint, latency, now=now, status=status, worker=worker)
        self.ended(endpoint, now=now, worker=worker)

    def failed(self, endpoint: int, how: int = 3, *, now: int = 1) -> None:
        """One without an answer."""
        self.began(endpoint)
        self.ended(endpoint, how, now=now)

    def counts(self, group: int) -> Any:
        row = self.ffi.new("tg_endpoint_counts *")
        return row if self.lib.bench_counts(self.clusters, group, row) == 0 else None

    def news(self) -> tuple[int, int] | None:
        """The next endpoint's group and what it has to tell."""
        group = self.ffi.new("uint64_t *")
        found = self.lib.bench_news(self.clusters, group)
        return (group[0], found) if found else None
