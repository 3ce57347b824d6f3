/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Who calls whom, asked at connect() and at sendto(), where the caller is the current process. For bcc, which turns
 * what looks like method calls on maps into helper calls. Only counts: every hook lets the call go on as it is. */

/* As ctypes lays out its counterpart, which bcc derives from this text. Whole words, so that no byte of the key is
 * undefined. */
struct call {
    u64 netns; /* the socket's cookie */
    u32 pid;
    u32 uid;
    u32 gid;
    u32 protocol;
    u32 family; /* 4 or 6 */
    u32 port;
    u32 address[4]; /* network order */
    char name[16];
};

BPF_HASH(calls, struct call, u64, CALLS);
BPF_ARRAY(lost, u64, 1);

static __always_inline int note(struct bpf_sock_addr *ctx, struct call *call)
{
    const u64 netns = bpf_get_netns_cookie(ctx);
    const u64 ids = bpf_get_current_uid_gid();
    u64 zero = 0;
    u32 first = 0;

    if (NETNS != 0 && netns != NETNS)
        return 1;
    if (PID != 0 && bpf_get_current_pid_tgid() >> 32 != PID)
        return 1;
    call->netns = netns;
    call->pid = bpf_get_current_pid_tgid() >> 32;
    call->uid = (u32)ids;
    call->gid = ids >> 32;
    call->protocol = ctx->protocol;
    call->port = bpf_ntohs(ctx->user_port);
    bpf_get_current_comm(call->name, sizeof call->name);
    u64 *count = calls.lookup_or_try_init(call, &zero);
    if (!count)
        count = lost.lookup(&first);
    if (count)
        lock_xadd(count, 1);
    return 1;
}

int call4(struct bpf_sock_addr *ctx)
{
    struct call call;
    __builtin_memset(&call, 0, sizeof call);
    call.family = 4;
    call.address[0] = ctx->user_ip4;
    return note(ctx, &call);
}

int call6(struct bpf_sock_addr *ctx)
{
    struct call call;
    __builtin_memset(&call, 0, sizeof call);
    call.family = 6;
    call.address[0] = ctx->user_ip6[0];
    call.address[1] = ctx->user_ip6[1];
    call.address[2] = ctx->user_ip6[2];
    call.address[3] = ctx->user_ip6[3];
    return note(ctx, &call);
}
