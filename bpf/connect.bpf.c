// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* cgroup/connect4, connect6: steers connect() to a listener of ours, before a source port or route is chosen. */
#include "dial.h"

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
    __u32 address[4], loopback[4];
    __u16 listener = 0;
    read_v4(ctx, address);
    enum course course = dial(ctx, address, true, &listener);
    if (course == TG_STEER) {
        address_loopback(loopback, true);
        write_v4(ctx, loopback, listener);
    }
    return course == TG_REFUSE ? refuse() : 1;
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
    __u32 address[4], loopback[4];
    __u16 listener = 0;
    read_v6(ctx, address);
    enum course course = dial(ctx, address, true, &listener);
    if (course == TG_STEER) {
        address_loopback(loopback, address_is_v4(address));
        write_v6(ctx, loopback, listener);
    }
    return course == TG_REFUSE ? refuse() : 1;
}

TG_LICENSE;
