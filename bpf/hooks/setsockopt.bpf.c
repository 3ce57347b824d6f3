// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* cgroup/setsockopt: the proxy says for which client a socket is about to call the workload, whose accept() and
 * getpeername() then show that client. Every other option is left alone. */
#include "features.h"
#include "outbound.h"
#include "sockopt.h"
#include "state.h"

#define TCP_CLOSE 7

/* Whoever may say so can pass for anybody towards the workload: the proxy, whose calls are never captured, and nobody
 * else. */
static __always_inline bool is_proxy(struct bpf_sockopt *ctx, struct bpf_sock *sk)
{
    struct selected s = {};
    struct dial d = {};
    if (!select_policy(&s))
        return false;
    if (has(TG_FEATURE_SOCKOPS_NETNS) && bpf_get_netns_cookie(ctx) != s.policy->netns_cookie)
        return false;
    __u64 owner = bpf_get_current_uid_gid();
    d.uid = (__u32)owner;
    d.gid = owner >> 32;
    d.mark = sk->mark;
    return exempt_as(&s, &d) != TG_NOBODY;
}

/* False: it is no socket address. */
static __always_inline bool read_client(struct bpf_sockopt *ctx, struct tg_endpoint *client)
{
    struct tg_sockaddr_v4 *v4 = ctx->optval;
    struct tg_sockaddr_v6 *v6 = ctx->optval;
    if ((void *)(v4 + 1) > ctx->optval_end)
        return false;
    client->family = v4->family;
    client->port = bpf_ntohs(v4->port);
    if (client->family == AF_INET) {
        address_v4(client->address, v4->address);
        return true;
    }
    if (client->family != AF_INET6 || (void *)(v6 + 1) > ctx->optval_end)
        return false;
    client->address[0] = v6->address[0];
    client->address[1] = v6->address[1];
    client->address[2] = v6->address[2];
    client->address[3] = v6->address[3];
    return true;
}

SEC("cgroup/setsockopt")
int setsockopt(struct bpf_sockopt *ctx)
{
    struct tg_endpoint client = {};
    struct bpf_sock *sk = ctx->sk;
    bool ours = ctx->level == TG_SOL_TIDEGATE && ctx->optname == TG_SO_CLIENT;

    if (ours && sk && sk->state == TCP_CLOSE && read_client(ctx, &client) && is_proxy(ctx, sk)) {
        struct tg_asked *call = bpf_sk_storage_get(&tg_calls_for, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
        if (call) {
            call->wanted = client;
            CTX(ctx->optlen) = -1; /* done: the kernel need not see it */
            return 1;
        }
    }
    CTX(ctx->optlen) = 0; /* the kernel takes the caller's own bytes, also those beyond a page, which we cannot see */
    return 1;
}

TG_LICENSE;
