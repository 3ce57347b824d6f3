// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* sockops on the captured cgroup, only with --cgroup: which ports its own processes listen on. */
#include "address.h"
#include "listeners.h"

SEC("sockops")
int workload_listen(struct bpf_sock_ops *ctx)
{
    if (ctx->op != BPF_SOCK_OPS_TCP_LISTEN_CB)
        return 1;
    struct tg_listening key = {.port = ctx->local_port};
    address_from_ctx(key.address, ctx->family == AF_INET, ctx->local_ip4, ctx->local_ip6);
    for (__u16 i = 0; i < TG_SHARERS; i++) {
        key.sharer = i;
        if (bpf_sock_hash_update(ctx, &tg_workload, &key, BPF_NOEXIST) == 0)
            break;
    }
    return 1;
}

TG_LICENSE;
