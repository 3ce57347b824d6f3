// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Redirects what one end of a TCP connection sends straight into the queue of the other end, past TCP. Both ends must
 * be in the cgroup that `established` is attached to. */
#include "common.h"

/* From user space, before loading. */
struct settings {
    __u32 listener_port; /* 0: every one */
    __u32 client_sends;  /* what the connecting end sends is redirected */
    __u32 listener_sends;
    __u32 pass_above; /* bytes; a larger message, and all that follow it, go through TCP. 0: none does */
};
volatile const struct settings settings = {};

struct end {
    __u32 client;
    __u32 listener;
    __u16 client_port;
    __u16 listener_port;
    __u32 is_client;
};

/* What is known of a socket. Written at the end of its handshake and by its own messages, freed with it. */
struct talker {
    struct end other;
    __u32 passes; /* for good: bytes in the TCP queue would be overtaken by redirected ones */
};

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct talker);
} talkers SEC(".maps");

/* Ends whose messages run `message`, which is attached to this map; the kernel takes out a socket that is closed. */
struct {
    __uint(type, BPF_MAP_TYPE_SOCKHASH);
    __uint(max_entries, 1 << 14);
    __type(key, struct end);
    __type(value, __u64);
} senders SEC(".maps");

/* Ends that only receive. */
struct {
    __uint(type, BPF_MAP_TYPE_SOCKHASH);
    __uint(max_entries, 1 << 14);
    __type(key, struct end);
    __type(value, __u64);
} receivers SEC(".maps");

/* Messages: 0 redirected, 1 passed; 2: sockets that could not be registered. Read by user space. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 3);
    __type(key, __u32);
    __type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(__u32 which)
{
    __u64 *counter = bpf_map_lookup_elem(&counters, &which);
    if (counter)
        *counter += 1;
}

static __always_inline bool sends(__u32 is_client)
{
    return is_client ? settings.client_sends : settings.listener_sends;
}

SEC("sockops")
int established(struct bpf_sock_ops *ctx)
{
    bool is_client = ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB;
    struct bpf_sock *sk = ctx->sk;
    if (!sk || (!is_client && ctx->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB))
        return 1;
    /* Both forms are read: an offset picked by family would be refused. */
    __u32 local4 = CTX(ctx->local_ip4), local6 = CTX(ctx->local_ip6[3]);
    __u32 remote4 = CTX(ctx->remote_ip4), remote6 = CTX(ctx->remote_ip6[3]);
    __u32 local = ctx->family == AF_INET ? local4 : local6;
    __u32 remote = ctx->family == AF_INET ? remote4 : remote6;
    __u16 local_port = ctx->local_port;
    __u16 remote_port = bpf_ntohl(ctx->remote_port);
    struct end own = {
        .client = is_client ? local : remote,
        .listener = is_client ? remote : local,
        .client_port = is_client ? local_port : remote_port,
        .listener_port = is_client ? remote_port : local_port,
        .is_client = is_client,
    };
    if (settings.listener_port && own.listener_port != settings.listener_port)
        return 1;
    struct talker talker = {.other = own};
    talker.other.is_client = !is_client;
    if (!bpf_sk_storage_get(&talkers, sk, &talker, BPF_SK_STORAGE_GET_F_CREATE))
        return 1;
    long failed = sends(is_client) ? bpf_sock_hash_update(ctx, &senders, &own, BPF_ANY)
                                   : bpf_sock_hash_update(ctx, &receivers, &own, BPF_ANY);
    if (failed)
        count(2);
    return 1;
}

SEC("sk_msg")
int message(struct sk_msg_md *ctx)
{
    struct bpf_sock *sk = ctx->sk;
    struct talker *talker = sk ? bpf_sk_storage_get(&talkers, sk, 0, 0) : 0;
    if (talker && !talker->passes && (!settings.pass_above || ctx->size <= settings.pass_above)) {
        struct end other = talker->other;
        long found = sends(other.is_client) ? bpf_msg_redirect_hash(ctx, &senders, &other, BPF_F_INGRESS)
                                            : bpf_msg_redirect_hash(ctx, &receivers, &other, BPF_F_INGRESS);
        if (found == SK_PASS) {
            count(0);
            return SK_PASS;
        }
    }
    if (talker)
        talker->passes = 1;
    count(1);
    return SK_PASS;
}

TG_LICENSE;
