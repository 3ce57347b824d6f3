// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* cgroup/getsockname4, getsockname6: a steered socket shows the address that routing would have given it, not the
 * loopback address from which it reaches our listener. */
#include "asked.h"
#include "sources.h"

#define TCP_ESTABLISHED 1 /* also what a connected datagram socket is */

/* False: what the socket has is what it shows. */
static __always_inline bool shown_instead_of(struct bpf_sock_addr *ctx, const __u32 address[4], __u32 shown[4])
{
    if (!ctx->sk || !address_is_loopback(address) || is_unspecified(address))
        return false;
    struct tg_asked *asked = bpf_sk_storage_get(&tg_asked_by, ctx->sk, 0, 0);
    if (!asked || address_is_loopback(asked->wanted.address))
        return false;
    /* A datagram socket that is not connected has the address that it was bound to. */
    if (ctx->protocol != IPPROTO_TCP && ctx->sk->state != TCP_ESTABLISHED)
        return false;
    /* Of TCP the port is known since its SYN: another one means that this is another connection. */
    if (ctx->protocol == IPPROTO_TCP && asked->flow.client_port != bpf_ntohs((__u16)ctx->user_port))
        return false;
    return source_toward(asked->wanted.address, shown);
}

SEC("cgroup/getsockname4")
int getsockname4(struct bpf_sock_addr *ctx)
{
    __u32 address[4], shown[4];
    read_v4(ctx, address);
    if (shown_instead_of(ctx, address, shown))
        CTX(ctx->user_ip4) = shown[3];
    return 1;
}

SEC("cgroup/getsockname6")
int getsockname6(struct bpf_sock_addr *ctx)
{
    __u32 address[4], shown[4];
    read_v6(ctx, address);
    if (shown_instead_of(ctx, address, shown))
        write_v6(ctx, shown, bpf_ntohs((__u16)ctx->user_port));
    return 1;
}

TG_LICENSE;
