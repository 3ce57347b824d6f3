// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* cgroup/sendmsg4, sendmsg6: DNS queries from sockets that were not connected first. The kernel gives datagrams to
 * v4-mapped addresses to sendmsg4, also those of AF_INET6 sockets. */
#include "dial.h"

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
    __u32 address[4], loopback[4];
    __u16 listener = 0;
    read_v4(ctx, address);
    enum course course = dial(ctx, address, false, &listener);
    if (course == TG_STEER) {
        address_loopback(loopback, true);
        write_v4(ctx, loopback, listener);
    }
    return course == TG_REFUSE ? refuse() : 1;
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
    __u32 address[4], loopback[4];
    __u16 listener = 0;
    read_v6(ctx, address);
    enum course course = dial(ctx, address, false, &listener);
    if (course == TG_STEER) {
        address_loopback(loopback, false);
        write_v6(ctx, loopback, listener);
    }
    return course == TG_REFUSE ? refuse() : 1;
}

TG_LICENSE;
