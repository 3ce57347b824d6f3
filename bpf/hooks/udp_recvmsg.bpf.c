// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* cgroup/recvmsg4, recvmsg6: an answer from our DNS listener bears the address of the server that was asked. A socket
 * that asks several servers sees the one it asked last: the hook does not know which question is being answered. */
#include "asked.h"

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
    __u32 address[4];
    read_v4(ctx, address);
    const struct tg_endpoint *wanted = asked_instead_of(ctx, address);
    if (wanted)
        write_v4(ctx, wanted->address, wanted->port);
    return 1;
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
    __u32 address[4];
    read_v6(ctx, address);
    const struct tg_endpoint *wanted = asked_instead_of(ctx, address);
    if (wanted)
        write_v6(ctx, wanted->address, wanted->port);
    return 1;
}

TG_LICENSE;
