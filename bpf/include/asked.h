/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a steered socket asked for, for the hooks that show it to the workload. */
#ifndef TIDEGATE_ASKED_H
#define TIDEGATE_ASKED_H

#include "direct/maps.h"
#include "sockaddr.h"
#include "state.h"

/* The original destination, if `address` and the context's port are the listener that this socket was steered to. */
static __always_inline const struct tg_endpoint *asked_instead_of(struct bpf_sock_addr *ctx, const __u32 address[4])
{
    if (!ctx->sk)
        return 0;
    struct tg_asked *asked = bpf_sk_storage_get(&tg_asked_by, ctx->sk, 0, 0);
    if (!asked || bpf_ntohs((__u16)ctx->user_port) != asked->flow.listener_port)
        return 0;
    return address_equal(address, asked->flow.listener) ? &asked->wanted : 0;
}

/* The service that was asked for, if they are the endpoint that the direct lane chose for this socket. */
static __always_inline const struct tg_host_port *service_instead_of(struct bpf_sock_addr *ctx, const __u32 address[4])
{
    if (!ctx->sk)
        return 0;
    struct tg_balanced *b = bpf_sk_storage_get(&tg_balanced_as, ctx->sk, 0, 0);
    if (!b || bpf_ntohs((__u16)ctx->user_port) != b->member.endpoint.port)
        return 0;
    return address_equal(address, b->member.endpoint.address) && b->wanted.port ? &b->wanted : 0;
}

#endif
