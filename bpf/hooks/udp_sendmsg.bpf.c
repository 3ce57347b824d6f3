// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* cgroup/sendmsg4, sendmsg6: DNS queries from sockets that were not connected first. The kernel gives datagrams to
 * v4-mapped addresses to sendmsg4, also those of AF_INET6 sockets. */
#include "dial.h"

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
    __u32 address[4];
    struct tg_host_port to = {};
    read_v4(ctx, address);
    enum course course = dial(ctx, address, false, &to);
    if (course == TG_STEER)
        write_v4(ctx, to.address, to.port);
    return course == TG_REFUSE ? refuse() : 1;
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
    __u32 address[4];
    struct tg_host_port to = {};
    read_v6(ctx, address);
    enum course course = dial(ctx, address, false, &to);
    if (course == TG_STEER)
        write_v6(ctx, to.address, to.port);
    return course == TG_REFUSE ? refuse() : 1;
}

TG_LICENSE;
