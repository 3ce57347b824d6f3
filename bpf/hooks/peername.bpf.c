// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* cgroup/getpeername4, getpeername6: the workload sees the peer that it asked for, not our listener nor an endpoint. */
#include "asked.h"

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
    __u32 address[4];
    read_v4(ctx, address);
    const struct tg_endpoint *wanted = asked_instead_of(ctx, address);
    if (wanted) {
        write_v4(ctx, wanted->address, wanted->port);
        return 1;
    }
    const struct tg_host_port *service = service_instead_of(ctx, address);
    if (service)
        write_v4(ctx, service->address, service->port);
    return 1;
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
    __u32 address[4];
    read_v6(ctx, address);
    const struct tg_endpoint *wanted = asked_instead_of(ctx, address);
    if (wanted) {
        write_v6(ctx, wanted->address, wanted->port);
        return 1;
    }
    const struct tg_host_port *service = service_instead_of(ctx, address);
    if (service)
        write_v6(ctx, service->address, service->port);
    return 1;
}

TG_LICENSE;
