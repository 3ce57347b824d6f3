/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The address that a sock_addr hook may read and rewrite, in our form. */
#ifndef TIDEGATE_SOCKADDR_H
#define TIDEGATE_SOCKADDR_H

#include "address.h"

static __always_inline void read_v4(struct bpf_sock_addr *ctx, __u32 out[4])
{
    address_v4(out, CTX(ctx->user_ip4));
}

static __always_inline void write_v4(struct bpf_sock_addr *ctx, const __u32 in[4], __u16 port)
{
    CTX(ctx->user_ip4) = in[3];
    CTX(ctx->user_port) = bpf_htons(port);
}

static __always_inline void read_v6(struct bpf_sock_addr *ctx, __u32 out[4])
{
    out[0] = CTX(ctx->user_ip6[0]);
    out[1] = CTX(ctx->user_ip6[1]);
    out[2] = CTX(ctx->user_ip6[2]);
    out[3] = CTX(ctx->user_ip6[3]);
}

static __always_inline void write_v6(struct bpf_sock_addr *ctx, const __u32 in[4], __u16 port)
{
    CTX(ctx->user_ip6[0]) = in[0];
    CTX(ctx->user_ip6[1]) = in[1];
    CTX(ctx->user_ip6[2]) = in[2];
    CTX(ctx->user_ip6[3]) = in[3];
    CTX(ctx->user_port) = bpf_htons(port);
}

#endif
