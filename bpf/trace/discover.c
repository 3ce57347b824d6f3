/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Who talks to whom. For bcc, which turns what looks like method calls on maps into helper calls. Every program lets
 * what it sees go on as it is.
 *
 * connect4/6, sendmsg4/6  the caller is the current process: who, and where to
 * sockops                 handshakes, ends, bytes; calls that arrive
 * ingress, egress         first bytes of connections; answers of name servers
 *
 * Given by -D: FLOWS, CALLS (how many are kept), NETNS (cookie of the only namespace to look at; 0: all), SOCKOPS_NETNS
 * (whether sockops can tell the namespace, since Linux 5.15), ASKED (descriptor of capture's map of what steered
 * sockets asked for; 0: none). */

#define OUTBOUND 1
#define INBOUND 2
#define CONNECTING 1
#define ESTABLISHED 2
#define ENDED 3
#define FIRST 16 /* bytes that are kept of what is said first */
#define ANSWER 512
#define AF_INET_ 2
#define SYN_SENT 2
#define FIN_WAIT2 5
#define CLOSED 7
#define CLOSE_WAIT 8
#define LAST_ACK 9
#define CLOSING 11
#define DNS_PORT 53
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17

/* As ctypes lays out its counterpart, which bcc derives from this text. Whole words, so that no byte is undefined. */
struct flow {
    u64 netns;
    u64 started_ns;
    u64 established_ns;
    u64 ended_ns;
    u64 sent; /* of payload, as of the last change of state */
    u64 received;
    u32 pid; /* this and the next two: 0 inbound */
    u32 uid;
    u32 gid;
    u32 direction;
    u32 state;
    u32 family; /* 4 or 6 */
    u32 local_port;
    u32 remote_port;
    u32 failed;
    u32 spoken;   /* by whom the first bytes are: 1 this end, 2 the other; 0: none yet */
    u32 local[4]; /* network order */
    u32 remote[4];
    u32 first[FIRST / 4];
    u32 first_length;
    u32 unused;
    char name[16];
};

struct call {
    u64 netns;
    u32 pid;
    u32 uid;
    u32 gid;
    u32 protocol;
    u32 family;
    u32 port;
    u32 address[4];
    char name[16];
};

/* What capture keeps on a steered socket: struct tg_asked of bpf/include/wire.h; a test compares the sizes. */
struct asked {
    u32 wanted[4];
    u16 wanted_port;
    u16 wanted_family;
    u32 client[4];
    u32 listener[4];
    u16 client_port;
    u16 listener_port;
};

struct answer {
    u32 length;
    u32 unused;
    char data[ANSWER];
};

BPF_HASH(flows, u64, struct flow, FLOWS); /* by the socket's cookie */
BPF_HASH(calls, struct call, u64, CALLS); /* of all but TCP */
BPF_ARRAY(lost, u64, 1);
BPF_RINGBUF_OUTPUT(answers, 64);

static __always_inline void count_lost(void)
{
    u32 first = 0;
    u64 *count = lost.lookup(&first);
    if (count)
        lock_xadd(count, 1);
}

static __always_inline void true_destination(struct bpf_sock_addr *ctx, u32 address[4], u32 *port, u32 *family)
{
#if ASKED
    if (!ctx->sk)
        return;
    struct asked *asked = bpf_sk_storage_get((void *)bpf_pseudo_fd(1, ASKED), ctx->sk, 0, 0);
    if (!asked || asked->listener_port != *port || asked->client_port)
        return;
    *family = asked->wanted_family == AF_INET_ ? 4 : 6;
    *port = asked->wanted_port;
    address[0] = *family == 4 ? asked->wanted[3] : asked->wanted[0];
    address[1] = *family == 4 ? 0 : asked->wanted[1];
    address[2] = *family == 4 ? 0 : asked->wanted[2];
    address[3] = *family == 4 ? 0 : asked->wanted[3];
#endif
}

static __always_inline int note_call(struct bpf_sock_addr *ctx, u64 netns, u32 address[4], u32 port, u32 family)
{
    struct call call;
    u64 zero = 0;
    const u64 ids = bpf_get_current_uid_gid();
    __builtin_memset(&call, 0, sizeof call);
    call.netns = netns;
    call.pid = bpf_get_current_pid_tgid() >> 32;
    call.uid = (u32)ids;
    call.gid = ids >> 32;
    call.protocol = ctx->protocol;
    call.family = family;
    call.port = port;
    __builtin_memcpy(call.address, address, sizeof call.address);
    bpf_get_current_comm(call.name, sizeof call.name);
    u64 *count = calls.lookup_or_try_init(&call, &zero);
    if (count)
        lock_xadd(count, 1);
    else
        count_lost();
    return 1;
}

static __always_inline int note(struct bpf_sock_addr *ctx, u32 address[4], u32 family)
{
    const u64 netns = bpf_get_netns_cookie(ctx);
    u32 port = bpf_ntohs(ctx->user_port);
    if (NETNS != 0 && netns != NETNS)
        return 1;
    true_destination(ctx, address, &port, &family);
    if (ctx->protocol != IPPROTO_TCP)
        return note_call(ctx, netns, address, port, family);
    struct flow flow;
    u64 cookie = bpf_get_socket_cookie(ctx);
    const u64 ids = bpf_get_current_uid_gid();
    __builtin_memset(&flow, 0, sizeof flow);
    flow.netns = netns;
    flow.started_ns = bpf_ktime_get_ns();
    flow.pid = bpf_get_current_pid_tgid() >> 32;
    flow.uid = (u32)ids;
    flow.gid = ids >> 32;
    flow.direction = OUTBOUND;
    flow.state = CONNECTING;
    flow.family = family;
    flow.remote_port = port;
    __builtin_memcpy(flow.remote, address, sizeof flow.remote);
    bpf_get_current_comm(flow.name, sizeof flow.name);
    if (flows.update(&cookie, &flow))
        count_lost();
    return 1;
}

int call4(struct bpf_sock_addr *ctx)
{
    u32 address[4] = {ctx->user_ip4, 0, 0, 0};
    return note(ctx, address, 4);
}

int call6(struct bpf_sock_addr *ctx)
{
    u32 address[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};
    return note(ctx, address, 6);
}

static __always_inline void read_local(struct bpf_sock_ops *ctx, struct flow *flow)
{
    flow->local_port = ctx->local_port;
    if (ctx->family == AF_INET_) {
        flow->local[0] = ctx->local_ip4;
        return;
    }
    flow->local[0] = ctx->local_ip6[0];
    flow->local[1] = ctx->local_ip6[1];
    flow->local[2] = ctx->local_ip6[2];
    flow->local[3] = ctx->local_ip6[3];
}

static __always_inline void arrived(struct bpf_sock_ops *ctx, u64 cookie)
{
    struct flow flow;
    __builtin_memset(&flow, 0, sizeof flow);
#if SOCKOPS_NETNS
    flow.netns = bpf_get_netns_cookie(ctx);
    if (NETNS != 0 && flow.netns != NETNS)
        return;
#else
    if (NETNS != 0)
        return; /* it might be another namespace's */
#endif
    flow.started_ns = flow.established_ns = bpf_ktime_get_ns();
    flow.direction = INBOUND;
    flow.state = ESTABLISHED;
    flow.family = ctx->family == AF_INET_ ? 4 : 6;
    flow.remote_port = bpf_ntohl(ctx->remote_port);
    if (ctx->family == AF_INET_) {
        flow.remote[0] = ctx->remote_ip4;
    } else {
        flow.remote[0] = ctx->remote_ip6[0];
        flow.remote[1] = ctx->remote_ip6[1];
        flow.remote[2] = ctx->remote_ip6[2];
        flow.remote[3] = ctx->remote_ip6[3];
    }
    read_local(ctx, &flow);
    if (flows.update(&cookie, &flow))
        count_lost();
}

/* The kernel's own numbers have SYN and FIN in them as a byte each. A FIN that is taken in FIN_WAIT2 leads to CLOSED
 * directly, as a reset does, which is rare there. */
static __always_inline void measure(struct bpf_sock_ops *ctx, struct flow *flow)
{
    const u32 state = ctx->args[1] == CLOSED ? ctx->args[0] : ctx->args[1];
    const u64 acknowledged = ctx->bytes_acked, arrived = ctx->bytes_received;
    u64 not_sent = flow->direction == OUTBOUND && state != SYN_SENT;
    u64 not_received = state == CLOSE_WAIT || state == LAST_ACK || state == CLOSING;
    if (state == FIN_WAIT2 && ctx->args[1] == CLOSED)
        not_received = 1;
    if (state == FIN_WAIT2 || ((state == CLOSING || state == LAST_ACK) && ctx->snd_una == ctx->snd_nxt))
        not_sent++;
    flow->sent = acknowledged > not_sent ? acknowledged - not_sent : 0;
    flow->received = arrived > not_received ? arrived - not_received : 0;
}

int happened(struct bpf_sock_ops *ctx)
{
    u64 cookie = bpf_get_socket_cookie(ctx);
    if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
        arrived(ctx, cookie);
    struct flow *flow = flows.lookup(&cookie);
    if (!flow)
        return 1;
    switch (ctx->op) {
    case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
        flow->established_ns = bpf_ktime_get_ns();
        flow->state = ESTABLISHED;
        read_local(ctx, flow);
        /* fall through */
    case BPF_SOCK_OPS_TCP_CONNECT_CB:
    case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
        bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
        break;
    case BPF_SOCK_OPS_STATE_CB:
        measure(ctx, flow);
        if (ctx->args[1] != CLOSED)
            break;
        flow->failed = ctx->args[0] == SYN_SENT;
        flow->ended_ns = bpf_ktime_get_ns();
        flow->state = ENDED;
        break;
    }
    return 1;
}

/* Offset of what the transport carries, of a packet whose transport is the wanted one; 0: another one, or an extension
 * header that hides it. */
static __always_inline u32 transport_at(struct __sk_buff *skb, u8 wanted)
{
    u8 first = 0, protocol = 0;
    if (bpf_skb_load_bytes(skb, 0, &first, 1))
        return 0;
    if (first >> 4 == 4) {
        if (bpf_skb_load_bytes(skb, 9, &protocol, 1) || protocol != wanted)
            return 0;
        return (first & 15) * 4;
    }
    if (bpf_skb_load_bytes(skb, 6, &protocol, 1) || protocol != wanted)
        return 0;
    return 40;
}

static __always_inline void first_bytes(struct __sk_buff *skb, u32 who)
{
    u64 cookie = bpf_get_socket_cookie(skb);
    struct flow *flow = flows.lookup(&cookie);
    if (!flow || flow->spoken)
        return;
    u32 at = transport_at(skb, IPPROTO_TCP);
    u8 words = 0;
    if (!at || bpf_skb_load_bytes(skb, at + 12, &words, 1))
        return;
    at += (words >> 4) * 4;
    if (skb->len <= at)
        return;
    const u32 length = skb->len - at;
    char data[FIRST];
    __builtin_memset(data, 0, sizeof data);
    if (length >= 16)
        bpf_skb_load_bytes(skb, at, data, 16);
    else if (length >= 8)
        bpf_skb_load_bytes(skb, at, data, 8);
    else if (length >= 4)
        bpf_skb_load_bytes(skb, at, data, 4);
    else
        bpf_skb_load_bytes(skb, at, data, 1);
    __builtin_memcpy(flow->first, data, sizeof data);
    flow->first_length = length >= 16 ? 16 : length >= 8 ? 8 : length >= 4 ? 4 : 1;
    flow->spoken = who;
}

int leaves(struct __sk_buff *skb)
{
    first_bytes(skb, 1);
    return 1;
}

static __always_inline void answer_of(struct __sk_buff *skb)
{
    u32 at = transport_at(skb, IPPROTO_UDP);
    u16 port = 0;
    if (!at || bpf_skb_load_bytes(skb, at, &port, 2) || port != bpf_htons(DNS_PORT) || skb->len <= at + 20)
        return;
    u32 length = skb->len - at - 8;
    struct answer *answer = answers.ringbuf_reserve(sizeof(struct answer));
    if (!answer)
        return;
    if (length > ANSWER)
        length = ANSWER;
    answer->unused = 0;
    answer->length = length;
    /* The verifier is to see the bounds of what is passed on, not of what the compiler makes of it. */
    asm volatile("" : "+r"(length));
    length = ((length - 1) & (ANSWER - 1)) + 1;
    if (bpf_skb_load_bytes(skb, at + 8, answer->data, length))
        answers.ringbuf_discard(answer, 0);
    else
        answers.ringbuf_submit(answer, 0);
}

int arrives(struct __sk_buff *skb)
{
    first_bytes(skb, 2);
    answer_of(skb);
    return 1;
}
