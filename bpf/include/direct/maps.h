/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * The direct lane's maps. Those in them that are not a socket's own are written by
 * intercept/backends/ebpf/direct/services.py while it holds the capture's lock; all of them live as long as the
 * capture.
 */
#ifndef TIDEGATE_DIRECT_MAPS_H
#define TIDEGATE_DIRECT_MAPS_H

#include "common.h"
#include "direct/values.h"

/* Services that share a bank_number: written by banks.py before they can be seen and never changed after that, so a
 * program that has found a bank may go on reading it. Read at connect(). Lives until one of them changes. */
struct tg_service_bank {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(struct tg_host_port)); /* the address and port that clients ask for */
    __uint(value_size, sizeof(struct tg_service));
};

/* Written by a push, each bank in one write; read at connect(). The kernel frees the bank before when no program reads
 * it. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, TG_BANKS);
    __type(key, __u32);
    __array(values, struct tg_service_bank);
} tg_services SEC(".maps");

struct tg_service_state {
    struct bpf_spin_lock lock; /* of the next three; one CPU's connect() would else spend another's token */
    __u32 unused;
    __u64 interval_ns; /* the rate limit that `due` was reckoned with */
    __u64 due;         /* when the next connection is due, were they evenly spaced */
    __u64 ticket;      /* round robin: of the next connection */
    __u64 denied;
    __u64 limited;
    __u64 unserved; /* refused because the service has no endpoint */
};

/* By service id. Made by the push that brings the service, changed at connect(), read by telemetry, which removes it
 * once the service is gone. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1 << 16);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, __u32);
    __type(value, struct tg_service_state);
} tg_service_states SEC(".maps");

/* Made by the push that brings the endpoint, changed by sockops, read by telemetry, which removes it once the endpoint
 * is in no service and has no connection. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1 << 17);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct tg_member);
    __type(value, struct tg_member_counts);
} tg_members SEC(".maps");

/* Written by inbound.py; read in sk_lookup and sockops. Lives as long as the capture. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct tg_straight);
} tg_straight_ports SEC(".maps");

struct tg_client {
    __u32 service;
    __u32 address[4]; /* the source that the socket is bound to, if it is one of the namespace's; else all zero */
};

struct tg_kept {
    struct tg_host_port endpoint;
    __u32 unused;
    __u64 used; /* bpf_ktime_get_ns of the last connection */
};

/* Session affinity: written and read at connect() only. What was not used for long makes room. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1 << 12);
    __type(key, struct tg_client);
    __type(value, struct tg_kept);
} tg_affinity SEC(".maps");

/* What has ended: pushed by sockops, taken out by whoever tells of connections one by one. A full queue loses its
 * oldest: the counts above lose nothing. */
struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 1 << 13);
    __uint(key_size, 0);
    __uint(value_size, sizeof(struct tg_direct_end));
} tg_direct_ends SEC(".maps");

/* On a socket whose connection is the direct lane's: written by connect() or where it was accepted, then by sockops;
 * gone with the socket, or at its next connect(). User space reads it through sock_diag. */
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct tg_balanced);
} tg_balanced_as SEC(".maps");

#endif
