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
    __uint(max_entries, 1 << 14);
    __type(key, struct tg_listening);
    __type(value, __u64);
} tg_workload SEC(".maps");

#endif
