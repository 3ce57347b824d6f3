// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* cgroup/connect4, for an instant and only before Linux 5.14, where user space can't ask for the cookie of its network
 * namespace: tells the cookie of the socket that connects to an address that nobody else would. */
#include "common.h"

volatile const __u32 tg_sign = 0; /* an address in 127/8, network order */

/* Written here, read by loader.learn_netns_cookie, which made it and closes it a moment later. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} tg_learnt SEC(".maps");

SEC("cgroup/connect4")
int learn(struct bpf_sock_addr *ctx)
{
    __u32 key = 0;
    if (ctx->user_ip4 != tg_sign)
        return 1;
    __u64 cookie = bpf_get_netns_cookie(ctx);
    bpf_map_update_elem(&tg_learnt, &key, &cookie, BPF_ANY);
    return 1;
}

TG_LICENSE;
