/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Listening sockets. The kernel takes a socket out of these maps when it is closed, so a dead proxy's slot is empty. */
#ifndef TIDEGATE_LISTENERS_H
#define TIDEGATE_LISTENERS_H

#include "common.h"

/* Inbound listeners: AF_INET sockets from 0, AF_INET6 ones from TG_SLOTS. Written by sockops at listen() and by
 * intercept/backends/ebpf/listeners.py; read by sk_lookup. An entry lives as long as its socket listens. */
struct {
    __uint(type, BPF_MAP_TYPE_SOCKMAP);
    __uint(max_entries, 2 * TG_SLOTS);
    __type(key, __u32);
    __type(value, __u64);
} tg_inbound SEC(".maps");

/* Listeners of the captured cgroup, where capture is scoped to one. Written by listen and by
 * intercept/backends/ebpf/listeners.py; read by sk_lookup. An entry lives as long as its socket listens. */
struct {
    __uint(type, BPF_MAP_TYPE_SOCKHASH);
    __uint(max_entries, 1 << 14); /* its buckets are allocated at once, 16 bytes each */
    __type(key, struct tg_listening);
    __type(value, __u64);
} tg_workload SEC(".maps");

/* How many of the captured cgroup's listeners are at an address and port that no map of sockets takes: MPTCP, a socket
 * that user space may not touch, one too many for tg_workload. Written by listen, which takes them out again, and by
 * intercept/backends/ebpf/workload.py, which does so when it looks again; read by sk_lookup. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1 << 16);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct tg_listening);
    __type(value, __u32);
} tg_workload_ports SEC(".maps");

/* By port, so that it is never full: how many of the captured cgroup's listeners found both maps above full, which one
 * program can bring about. While there are any, the port counts as the cgroup's at every address: another's listener at
 * that port is captured too, rather than one of the cgroup's missed. Written by listen, which takes them out again;
 * read by sk_lookup. `status` tells of it (lost-listener counts how often). */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1 << 16);
    __type(key, __u32);
    __type(value, __u32);
} tg_workload_crowd SEC(".maps");

#endif
