/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Telemetry of the direct lane, from sockops: what a relay would have counted. Bytes are the payload's: the kernel's
 * own numbers have SYN and FIN in them as a byte each.
 */
#ifndef TIDEGATE_MEASURE_H
#define TIDEGATE_MEASURE_H

#include "address.h"
#include "direct/maps.h"

enum tcp_state {
    TCP_ESTABLISHED = 1,
    TCP_FIN_WAIT1 = 4,
    TCP_FIN_WAIT2 = 5,
    TCP_CLOSE = 7,
    TCP_CLOSE_WAIT = 8,
    TCP_LAST_ACK = 9,
    TCP_CLOSING = 11,
};

#define TCP_FLAG_FIN 1

static __always_inline struct tg_member_counts *counts_of(const struct tg_balanced *b)
{
    struct tg_member member = b->member;
    return bpf_map_lookup_elem(&tg_members, &member);
}

/* Whether the kernel has counted our FIN as acknowledged, in that state of the socket. */
static __always_inline bool fin_acknowledged(struct bpf_sock_ops *ctx, __u32 state)
{
    return state == TCP_FIN_WAIT2 || ((state == TCP_CLOSING || state == TCP_LAST_ACK) && ctx->snd_una == ctx->snd_nxt);
}

/* A FIN that is taken in FIN_WAIT2 leads to TCP_CLOSE directly, as a reset does; hence on_header. */
static __always_inline bool fin_received(const struct tg_balanced *b, __u32 state)
{
    return state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK || state == TCP_CLOSING ||
           (state == TCP_FIN_WAIT2 && b->peer_finished);
}

/* Counts what has come and gone since the last time. */
static __always_inline void measure(struct bpf_sock_ops *ctx, struct tg_balanced *b, struct tg_member_counts *counts,
                                    __u32 state)
{
    __u64 not_data = b->syn + fin_acknowledged(ctx, state);
    __u64 acknowledged = ctx->bytes_acked, arrived = ctx->bytes_received;
    __u64 sent = acknowledged > not_data ? acknowledged - not_data : 0;
    __u64 received = arrived - (arrived && fin_received(b, state));
    __u32 retransmits = ctx->total_retrans;
    __u32 srtt_us = ctx->srtt_us >> 3;

    if (sent > b->sent) {
        __sync_fetch_and_add(&counts->sent, sent - b->sent);
        b->sent = sent;
    }
    if (received > b->received) {
        __sync_fetch_and_add(&counts->received, received - b->received);
        b->received = received;
    }
    if (retransmits != b->retransmits) {
        __sync_fetch_and_add(&counts->retransmits, (__u64)(retransmits - b->retransmits));
        b->retransmits = retransmits;
    }
    /* Two CPUs at once may lose one of two samples, which the next makes good. */
    __u64 smoothed = counts->srtt_us;
    if (srtt_us)
        counts->srtt_us = smoothed ? smoothed - (smoothed >> 3) + (srtt_us >> 3) : srtt_us;
}

static __always_inline void begin(struct bpf_sock_ops *ctx, struct tg_balanced *b)
{
    b->begun = true;
    b->begun_ns = bpf_ktime_get_ns();
    bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RTT_CB_FLAG);
}

/* The SYN is about to leave. */
static __always_inline void on_balanced_connect(struct bpf_sock_ops *ctx, struct tg_balanced *b)
{
    struct tg_member_counts *counts = counts_of(b);
    if (!counts)
        return;
    __sync_fetch_and_add(&counts->begun, 1);
    begin(ctx, b);
}

/* Accepted by the workload itself. */
static __always_inline void on_straight_accept(struct bpf_sock_ops *ctx, struct bpf_sock *sk, __u16 port)
{
    struct tg_balanced b = {
        .member = {.service = TG_INBOUND_SERVICE, .endpoint = {.port = port}},
        .established = true,
    };
    struct tg_member_counts *counts = counts_of(&b);
    if (!counts)
        return;
    struct tg_balanced *kept = bpf_sk_storage_get(&tg_balanced_as, sk, &b, BPF_SK_STORAGE_GET_F_CREATE);
    if (!kept)
        return;
    __sync_fetch_and_add(&counts->begun, 1);
    __sync_fetch_and_add(&counts->opened, 1);
    begin(ctx, kept);
}

static __always_inline void on_balanced_established(struct tg_balanced *b)
{
    struct tg_member_counts *counts = counts_of(b);
    if (!counts || !b->begun)
        return;
    __sync_fetch_and_add(&counts->opened, 1);
    b->established = true;
}

/* A round-trip time was taken: each time some of what we sent is acknowledged. Only while no FIN is under way, whose
 * byte could not be told from the data's. */
static __always_inline void on_rtt(struct bpf_sock_ops *ctx, struct tg_balanced *b)
{
    __u32 state = ctx->state;
    if (!b->established || (state != TCP_ESTABLISHED && state != TCP_CLOSE_WAIT))
        return;
    struct tg_member_counts *counts = counts_of(b);
    if (counts)
        measure(ctx, b, counts, state);
}

static __always_inline enum tg_direct_ending ending(const struct tg_balanced *b, __u32 before)
{
    if (!b->established)
        return TG_ENDED_FAILED;
    /* A clean end leads through states in which both FINs have been seen, at last. */
    if (before == TCP_LAST_ACK || before == TCP_CLOSING || (before == TCP_FIN_WAIT2 && b->peer_finished))
        return TG_ENDED_FINISHED;
    return TG_ENDED_RESET;
}

static __always_inline void tell_end(struct bpf_sock_ops *ctx, const struct tg_balanced *b, __u32 before)
{
    struct tg_direct_end end = {
        .begun_ns = b->begun_ns,
        .ended_ns = bpf_ktime_get_ns(),
        .sent = b->sent,
        .received = b->received,
        .member = b->member,
        .client_port = ctx->local_port,
        .ending = ending(b, before),
        .retransmits = ctx->total_retrans,
        .srtt_us = ctx->srtt_us >> 3,
    };
    bool v4 = ctx->family == AF_INET;
    if (b->member.service == TG_INBOUND_SERVICE) {
        address_from_ctx(end.member.endpoint.address, v4, ctx->local_ip4, ctx->local_ip6);
        address_from_ctx(end.client, v4, ctx->remote_ip4, ctx->remote_ip6);
        end.client_port = bpf_ntohl(ctx->remote_port);
    } else {
        address_from_ctx(end.client, v4, ctx->local_ip4, ctx->local_ip6);
    }
    bpf_map_push_elem(&tg_direct_ends, &end, BPF_EXIST);
}

static __always_inline void on_balanced_state(struct bpf_sock_ops *ctx, struct tg_balanced *b)
{
    __u32 before = ctx->args[0], after = ctx->args[1];
    if (!b->begun)
        return;
    if (after == TCP_FIN_WAIT1) /* from here on each header, for the peer's FIN */
        bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG);
    struct tg_member_counts *counts = after == TCP_CLOSE ? counts_of(b) : 0;
    if (!counts)
        return;
    if (b->established)
        measure(ctx, b, counts, before);
    if (!b->established && ctx->total_retrans)
        __sync_fetch_and_add(&counts->retransmits, (__u64)ctx->total_retrans);
    __sync_fetch_and_add(b->established ? &counts->closed : &counts->failed, 1);
    tell_end(ctx, b, before);
    b->begun = false;
}

static __always_inline void on_header(struct bpf_sock_ops *ctx, struct tg_balanced *b)
{
    if (ctx->skb_tcp_flags & TCP_FLAG_FIN)
        b->peer_finished = true;
}

#endif
