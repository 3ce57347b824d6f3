// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* sockops: carries the original destination from the client's socket to the accepted one, and the client from the
 * proxy's socket to the one that the workload accepts; registers inbound listeners as they begin to listen; measures
 * the direct lane's connections. */
#include "address.h"
#include "direct/measure.h"
#include "features.h"
#include "inbound.h"
#include "listeners.h"
#include "state.h"

static __always_inline void read_flow(struct bpf_sock_ops *ctx, bool is_client, struct tg_flow *flow)
{
    __u32 local[4], remote[4];
    bool v4 = ctx->family == AF_INET;
    address_from_ctx(local, v4, ctx->local_ip4, ctx->local_ip6);
    address_from_ctx(remote, v4, ctx->remote_ip4, ctx->remote_ip6);
    __u16 local_port = ctx->local_port;
    __u16 remote_port = bpf_ntohl(ctx->remote_port);
    __builtin_memcpy(flow->client, is_client ? local : remote, sizeof(local));
    __builtin_memcpy(flow->listener, is_client ? remote : local, sizeof(local));
    flow->client_port = is_client ? local_port : remote_port;
    flow->listener_port = is_client ? remote_port : local_port;
}

/* The proxy calls the workload for a client. */
static __always_inline void on_call(struct bpf_sock_ops *ctx, struct bpf_sock *sk)
{
    struct tg_asked *call = bpf_sk_storage_get(&tg_calls_for, sk, 0, 0);
    if (!call)
        return;
    struct tg_flow flow = {};
    read_flow(ctx, true, &flow);
    call->flow = flow;
    if (bpf_map_update_elem(&tg_calling, &flow, &call->wanted, BPF_ANY) == 0)
        bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* The SYN is about to leave: source address and port are known now. An endpoint of the direct lane is told nothing:
 * what it sees is a connection to itself. */
static __always_inline void on_connect(struct bpf_sock_ops *ctx, struct bpf_sock *sk)
{
    struct tg_balanced *balanced = bpf_sk_storage_get(&tg_balanced_as, sk, 0, 0);
    if (balanced) {
        if (bpf_ntohl(ctx->remote_port) == balanced->member.endpoint.port)
            on_balanced_connect(ctx, balanced);
        return;
    }
    struct tg_asked *asked = bpf_sk_storage_get(&tg_asked_by, sk, 0, 0);
    if (!asked) {
        on_call(ctx, sk);
        return;
    }
    struct tg_flow flow = {};
    read_flow(ctx, true, &flow);
    if (flow.listener_port != asked->flow.listener_port)
        return;
    asked->flow = flow;
    if (bpf_map_update_elem(&tg_pending, &flow, &asked->wanted, BPF_ANY))
        count(TG_RULE_LOST_DESTINATION);
    bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* The client's socket closes. Where the listener never got so far (refused, timed out), this is the only chance. */
static __always_inline void on_state(struct bpf_sock_ops *ctx, struct bpf_sock *sk)
{
    struct tg_balanced *balanced = bpf_sk_storage_get(&tg_balanced_as, sk, 0, 0);
    if (balanced) {
        on_balanced_state(ctx, balanced);
        return;
    }
    if (ctx->args[1] != TCP_CLOSE)
        return;
    struct tg_asked *asked = bpf_sk_storage_get(&tg_asked_by, sk, 0, 0);
    if (asked && asked->flow.client_port) {
        struct tg_flow flow = asked->flow;
        bpf_map_delete_elem(&tg_pending, &flow);
        return;
    }
    struct tg_asked *call = bpf_sk_storage_get(&tg_calls_for, sk, 0, 0);
    if (call && call->flow.client_port) {
        struct tg_flow flow = call->flow;
        bpf_map_delete_elem(&tg_calling, &flow);
    }
}

/* What the inbound hook has left to the workload because the direct lane has that port. Not before 5.15: it could be
 * another namespace's. */
static __always_inline void on_arrival(struct bpf_sock_ops *ctx, struct bpf_sock *sk, const struct selected *s,
                                       const struct tg_flow *flow)
{
    if (!has(TG_FEATURE_SOCKOPS_NETNS) || !goes_straight(flow->listener_port) || is_own(s, flow->client))
        return;
    if (flagged(s, TG_NO_IPV6) && !address_is_v4(flow->client))
        return;
    if (inbound_decide(s, flow->client, flow->listener_port) == TG_RULE_IN_INCLUDE_PORT)
        on_straight_accept(ctx, sk, flow->listener_port);
}

/* The workload's side of the proxy's call exists. */
static __always_inline void on_called(struct bpf_sock *sk, const struct tg_flow *flow)
{
    struct tg_endpoint *found = bpf_map_lookup_elem(&tg_calling, flow);
    if (!found)
        return;
    struct tg_endpoint client = *found;
    bpf_sk_storage_get(&tg_called_by, sk, &client, BPF_SK_STORAGE_GET_F_CREATE);
    bpf_map_delete_elem(&tg_calling, flow);
}

/* The listener's side exists. It is locked by the softirq that made it, so accept() cannot overtake this. */
static __always_inline void on_accept(struct bpf_sock_ops *ctx, struct bpf_sock *sk)
{
    struct tg_flow flow = {};
    struct selected s = {};
    bool in_force = select_policy(&s);
    /* The same addresses and ports may exist in another namespace. And who shares our cgroup but not our namespace, as
     * all of a host do under its root cgroup, shall not notice us. */
    if (in_force && has(TG_FEATURE_SOCKOPS_NETNS) && bpf_get_netns_cookie(ctx) != s.policy->netns_cookie)
        return;
    read_flow(ctx, false, &flow);
    if (in_force)
        on_arrival(ctx, sk, &s, &flow);
    struct tg_endpoint *found = bpf_map_lookup_elem(&tg_pending, &flow);
    if (!found) {
        on_called(sk, &flow);
        return;
    }
    struct tg_endpoint wanted = *found;
    if (!bpf_sk_storage_get(&tg_accepted_for, sk, &wanted, BPF_SK_STORAGE_GET_F_CREATE))
        count(TG_RULE_LOST_DESTINATION);
    bpf_map_delete_elem(&tg_pending, &flow);
}

/* A listener on the inbound port is a proxy's, whoever started it and whenever. */
static __always_inline void on_listen(struct bpf_sock_ops *ctx, struct bpf_sock *sk)
{
    struct selected s = {};
    if (!has(TG_FEATURE_SOCKOPS_NETNS) || !select_policy(&s))
        return;
    if (bpf_get_netns_cookie(ctx) != s.policy->netns_cookie || ctx->local_port != s.policy->inbound_port)
        return;
    __u32 port = ctx->local_port;
    if (!bpf_sk_storage_get(&tg_inbound_of, sk, &port, BPF_SK_STORAGE_GET_F_CREATE))
        return;
    __u32 first = ctx->family == AF_INET ? 0 : TG_SLOTS;
    for (__u32 i = 0; i < TG_SLOTS; i++) {
        __u32 slot = first + i;
        if (bpf_sock_map_update(ctx, &tg_inbound, &slot, BPF_NOEXIST) == 0)
            return;
    }
}

static __always_inline void on_balanced(struct bpf_sock_ops *ctx, struct bpf_sock *sk)
{
    struct tg_balanced *balanced = bpf_sk_storage_get(&tg_balanced_as, sk, 0, 0);
    if (!balanced)
        return;
    if (ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
        on_balanced_established(balanced);
    else if (ctx->op == BPF_SOCK_OPS_RTT_CB)
        on_rtt(ctx, balanced);
    else
        on_header(ctx, balanced);
}

SEC("sockops")
int connection(struct bpf_sock_ops *ctx)
{
    struct bpf_sock *sk = ctx->sk;
    if (!sk)
        return 1;
    switch (ctx->op) {
    case BPF_SOCK_OPS_TCP_CONNECT_CB:
        on_connect(ctx, sk);
        break;
    case BPF_SOCK_OPS_STATE_CB:
        on_state(ctx, sk);
        break;
    case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
        on_accept(ctx, sk);
        break;
    case BPF_SOCK_OPS_TCP_LISTEN_CB:
        on_listen(ctx, sk);
        break;
    case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
    case BPF_SOCK_OPS_RTT_CB:
    case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:
        on_balanced(ctx, sk);
        break;
    }
    return 1;
}

TG_LICENSE;
