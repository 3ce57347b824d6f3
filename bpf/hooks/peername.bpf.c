// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* cgroup/getpeername4, getpeername6, which accept() runs too: the workload sees the peer that it asked for, not our
 * listener nor an endpoint, and the client that called it, not the proxy; a proxy sees the client's address as the
 * client's own getsockname() shows it, by which it knows its own connections again. */
#include "asked.h"
#include "sources.h"

static __always_inline bool client_instead_of(struct bpf_sock_addr *ctx, const __u32 address[4], __u32 shown[4])
{
    if (!ctx->sk || !address_is_loopback(address))
        return false;
    struct tg_endpoint *wanted = bpf_sk_storage_get(&tg_accepted_for, ctx->sk, 0, 0);
    return wanted && !address_is_loopback(wanted->address) && source_toward(wanted->address, shown);
}

static __always_inline const struct tg_endpoint *called_by(struct bpf_sock_addr *ctx)
{
    return ctx->sk ? bpf_sk_storage_get(&tg_called_by, ctx->sk, 0, 0) : 0;
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
    __u32 address[4], client[4];
    read_v4(ctx, address);
    const struct tg_endpoint *wanted = asked_instead_of(ctx, address);
    if (wanted) {
        write_v4(ctx, wanted->address, wanted->port);
        return 1;
    }
    const struct tg_endpoint *caller = called_by(ctx);
    const struct tg_host_port *service = service_instead_of(ctx, address);
    if (caller)
        write_v4(ctx, caller->address, caller->port);
    else if (service)
        write_v4(ctx, service->address, service->port);
    else if (client_instead_of(ctx, address, client))
        CTX(ctx->user_ip4) = client[3];
    return 1;
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
    __u32 address[4], client[4];
    read_v6(ctx, address);
    const struct tg_endpoint *wanted = asked_instead_of(ctx, address);
    if (wanted) {
        write_v6(ctx, wanted->address, wanted->port);
        return 1;
    }
    const struct tg_endpoint *caller = called_by(ctx);
    const struct tg_host_port *service = service_instead_of(ctx, address);
    if (caller)
        write_v6(ctx, caller->address, caller->port);
    else if (service)
        write_v6(ctx, service->address, service->port);
    else if (client_instead_of(ctx, address, client))
        write_v6(ctx, client, bpf_ntohs((__u16)ctx->user_port));
    return 1;
}

TG_LICENSE;
