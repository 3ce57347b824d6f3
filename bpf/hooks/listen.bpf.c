// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* sockops on the captured cgroup, only with --cgroup: on which addresses and ports of this network namespace its own
 * processes listen. Sockets go into tg_workload, from where the kernel takes them when they close. One that it does not
 * take there is counted by its address and port; one that finds no place there either, by its port alone. */
#include "address.h"
#include "features.h"
#include "listeners.h"
#include "policy.h"

#define TCP_LISTEN 10

/* A captured process may be in another network namespace, whose listeners are none of ours. Before 5.15 no program of
 * this type can tell. */
static __always_inline bool in_namespace(struct bpf_sock_ops *ctx)
{
    return !has(TG_FEATURE_SOCKOPS_NETNS) || is_captured_namespace(bpf_get_netns_cookie(ctx));
}

/* Nothing that arrives from outside gets there, so it takes no place. */
static __always_inline bool hears_loopback_only(const __u32 a[4])
{
    return address_is_loopback(a) && !is_unspecified(a);
}

static __always_inline __u32 *crowd_at(const struct tg_listening *key)
{
    __u32 port = key->port;
    return bpf_map_lookup_elem(&tg_workload_crowd, &port);
}

static __always_inline void keep_by_port(struct bpf_sock_ops *ctx, struct tg_listening *key)
{
    __u32 one = 1;
    key->sharer = TG_TOLD_BY_HOOK;
    __u32 *count_there = bpf_map_lookup_elem(&tg_workload_ports, key);
    if (count_there)
        __sync_fetch_and_add(count_there, 1);
    else if (bpf_map_update_elem(&tg_workload_ports, key, &one, BPF_ANY)) {
        __u32 *crowd = crowd_at(key);
        if (crowd)
            __sync_fetch_and_add(crowd, 1);
        count(TG_RULE_LOST_LISTENER);
    }
    bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

static __always_inline void on_listen(struct bpf_sock_ops *ctx, struct tg_listening *key)
{
    if (hears_loopback_only(key->address) || !in_namespace(ctx))
        return;
    for (__u16 i = 0; i < TG_SHARERS; i++) {
        key->sharer = i;
        if (bpf_sock_hash_update(ctx, &tg_workload, key, BPF_NOEXIST) == 0)
            return;
    }
    keep_by_port(ctx, key);
}

static __always_inline void on_stop(struct tg_listening *key)
{
    key->sharer = TG_TOLD_BY_HOOK;
    __u32 *count_there = bpf_map_lookup_elem(&tg_workload_ports, key);
    if (!count_there) {
        __u32 *crowd = crowd_at(key);
        if (crowd && *(volatile __u32 *)crowd)
            __sync_fetch_and_add(crowd, -1);
        return;
    }
    __sync_fetch_and_add(count_there, -1);
    if (*(volatile __u32 *)count_there == 0)
        bpf_map_delete_elem(&tg_workload_ports, key);
}

SEC("sockops")
int workload_listen(struct bpf_sock_ops *ctx)
{
    struct tg_listening key = {.port = ctx->local_port};
    address_from_ctx(key.address, ctx->family == AF_INET, ctx->local_ip4, ctx->local_ip6);
    if (ctx->op == BPF_SOCK_OPS_TCP_LISTEN_CB)
        on_listen(ctx, &key);
    /* Only of sockets for which that was asked above, and of what they accepted, which was never listening. */
    else if (ctx->op == BPF_SOCK_OPS_STATE_CB && ctx->args[0] == TCP_LISTEN && in_namespace(ctx))
        on_stop(&key);
    return 1;
}

TG_LICENSE;
