// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* cgroup/getsockopt: SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST of sockets that were accepted for a steered connection.
 * Everything else keeps the kernel's own answer. */
#include "address.h"
#include "features.h"
#include "sockopt.h"
#include "state.h"

#define SOL_IP 0
#define SOL_IPV6 41
#define SO_ORIGINAL_DST 80
#define EINVAL 22

static __always_inline int too_short(void)
{
    /* What netfilter says of a buffer that cannot hold the answer. Older kernels keep their own error. */
    if (has(TG_FEATURE_SET_RETVAL))
        bpf_set_retval(-EINVAL);
    return 1;
}

static __always_inline int answer_v4(struct bpf_sockopt *ctx, const __u32 address[4], __u16 port)
{
    struct tg_sockaddr_v4 *out = ctx->optval;
    if ((void *)(out + 1) > ctx->optval_end)
        return too_short();
    out->family = AF_INET;
    out->port = bpf_htons(port);
    out->address = address[3];
    __builtin_memset(out->zero, 0, sizeof(out->zero));
    CTX(ctx->optlen) = sizeof(*out);
    CTX(ctx->retval) = 0;
    return 1;
}

static __always_inline int answer_v6(struct bpf_sockopt *ctx, const __u32 address[4], __u16 port, __u32 scope_id)
{
    struct tg_sockaddr_v6 *out = ctx->optval;
    if ((void *)(out + 1) > ctx->optval_end)
        return too_short();
    out->family = AF_INET6;
    out->port = bpf_htons(port);
    out->flowinfo = 0;
    out->address[0] = address[0];
    out->address[1] = address[1];
    out->address[2] = address[2];
    out->address[3] = address[3];
    out->scope_id = scope_id;
    CTX(ctx->optlen) = sizeof(*out);
    CTX(ctx->retval) = 0;
    return 1;
}

SEC("cgroup/getsockopt")
int getsockopt(struct bpf_sockopt *ctx)
{
    struct bpf_sock *sk = ctx->sk;
    __u32 address[4];
    __u16 port;

    if (ctx->optname != SO_ORIGINAL_DST || (ctx->level != SOL_IP && ctx->level != SOL_IPV6) || !sk)
        return 1;
    struct tg_endpoint *wanted = bpf_sk_storage_get(&tg_accepted_for, sk, 0, 0);
    if (wanted) {
        __builtin_memcpy(address, wanted->address, sizeof(address));
        port = wanted->port;
    } else {
        /* Accepted from an inbound listener: not rewritten, so the socket's own address is the answer. Somebody who
         * dialled the listener's port was not steered and gets none. */
        __u32 *listener = bpf_sk_storage_get(&tg_inbound_of, sk, 0, 0);
        if (!listener || sk->src_port == *listener)
            return 1;
        address_from_ctx(address, sk->family == AF_INET, sk->src_ip4, sk->src_ip6);
        port = sk->src_port;
    }
    if (address_is_v4(address))
        return ctx->level == SOL_IP ? answer_v4(ctx, address, port) : 1;
    /* The kernel has bound a socket to the interface on which it was reached by a link-local address. */
    __u32 scope_id = address_is_link_local(address) ? sk->bound_dev_if : 0;
    return ctx->level == SOL_IPV6 ? answer_v6(ctx, address, port, scope_id) : 1;
}

TG_LICENSE;
