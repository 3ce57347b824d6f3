// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* cgroup/connect4, connect6: steers connect() to a listener of ours, or to the endpoint of a service of the direct
 * lane, before a source port or route is chosen. */
#include "dial.h"

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
    __u32 address[4];
    struct tg_host_port to = {};
    read_v4(ctx, address);
    enum course course = dial(ctx, address, true, &to);
    if (course == TG_STEER)
        write_v4(ctx, to.address, to.port);
    return course == TG_REFUSE ? refuse() : 1;
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
    __u32 address[4];
    struct tg_host_port to = {};
    read_v6(ctx, address);
    enum course course = dial(ctx, address, true, &to);
    if (course == TG_STEER)
        write_v6(ctx, to.address, to.port);
    return course == TG_REFUSE ? refuse() : 1;
}

TG_LICENSE;
