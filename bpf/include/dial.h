/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * The part that connect and sendmsg have in common, for both families: read who wants to go where, decide, remember
 * what was asked. Writing the new address back is left to the hook, because the context's fields differ by family.
 */
#ifndef TIDEGATE_DIAL_H
#define TIDEGATE_DIAL_H

#include "direct/balance.h"
#include "features.h"
#include "outbound.h"
#include "sockaddr.h"
#include "state.h"

#define ECONNREFUSED 111

/* address: the loopback address to ask for, of that family. */
static __always_inline bool listening(struct bpf_sock_addr *ctx, const __u32 address[4], bool v4, __u16 port, bool tcp)
{
    struct bpf_sock_tuple tuple = {};
    __u32 size;
    if (v4) {
        tuple.ipv4.saddr = bpf_htonl(0x7f000001);
        tuple.ipv4.daddr = address[3];
        tuple.ipv4.dport = bpf_htons(port);
        size = sizeof(tuple.ipv4);
    } else {
        tuple.ipv6.saddr[3] = bpf_htonl(1);
        tuple.ipv6.daddr[3] = bpf_htonl(1);
        tuple.ipv6.dport = bpf_htons(port);
        size = sizeof(tuple.ipv6);
    }
    struct bpf_sock *found = tcp ? bpf_sk_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0)
                                 : bpf_sk_lookup_udp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
    if (!found)
        return false;
    bpf_sk_release(found);
    return true;
}

static __always_inline void read_source(struct bpf_sock *sk, __u32 out[4])
{
    address_from_ctx(out, sk->family == AF_INET, sk->src_ip4, sk->src_ip6);
}

/* Remembers on the socket what it asked for, and where it goes instead. False: out of memory. */
static __always_inline bool remember(struct bpf_sock *sk, const struct dial *d, const struct tg_host_port *to)
{
    struct tg_asked *asked = bpf_sk_storage_get(&tg_asked_by, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
    if (!asked)
        return false;
    __builtin_memset(&asked->flow, 0, sizeof(asked->flow));
    __builtin_memcpy(asked->wanted.address, d->address, sizeof(asked->wanted.address));
    asked->wanted.port = d->port;
    asked->wanted.family = address_family(d->address);
    /* Until the SYN leaves, only these two are known; a peer that is another is none of ours. */
    __builtin_memcpy(asked->flow.listener, to->address, sizeof(asked->flow.listener));
    asked->flow.listener_port = to->port;
    return true;
}

/* While capture moves to another cgroup, the hook may hang on two folders of one path and run twice for one connect():
 * the second run finds what the first one wrote. A client port means that this was an earlier connection's. */
static __always_inline bool steered_just_now(struct bpf_sock *sk, const struct dial *d)
{
    struct tg_asked *asked = bpf_sk_storage_get(&tg_asked_by, sk, 0, 0);
    if (asked)
        return !asked->flow.client_port && asked->flow.listener_port == d->port &&
               address_equal(asked->flow.listener, d->address);
    struct tg_balanced *balanced = d->tcp ? bpf_sk_storage_get(&tg_balanced_as, sk, 0, 0) : 0;
    return balanced && !balanced->begun_ns && balanced->member.endpoint.port == d->port &&
           address_equal(balanced->member.endpoint.address, d->address);
}

/* A loopback address of the destination's own: a source port may be used again for each address and port that it leads
 * to, so that one address for all would make all destinations share the ports of one. */
static __always_inline __u32 loopback_of(const struct dial *d)
{
    __u32 hash = (bpf_ntohl(d->address[3]) ^ (__u32)d->port << 16 ^ d->port) * 0x9e3779b1;
    hash = (hash ^ hash >> 15) * 0x85ebca6b;
    return bpf_htonl(0x7f000000 | ((hash >> 8) % 0xfffffd + 1));
}

/* IPv4 has such addresses, and a listener on the wildcard address hears them. False: this one does not. */
static __always_inline bool spread(struct bpf_sock_addr *ctx, const struct dial *d, struct tg_host_port *to)
{
    __u32 own[4];
    address_v4(own, loopback_of(d));
    if (!d->tcp || !address_is_v4(d->address) || !listening(ctx, own, true, to->port, true))
        return false;
    to->address[3] = own[3];
    return true;
}

/* To the listener on the loopback address of the family that was asked for. */
static __always_inline void toward_listener(const struct dial *d, __u16 listener, struct tg_host_port *to)
{
    address_loopback(to->address, address_is_v4(d->address));
    to->port = listener;
}

/*
 * TG_STEER: send it `to` there instead, a listener of ours or the endpoint of a service; what was asked is remembered
 * on the socket. Otherwise leave it alone, or refuse it. sets_peer: a connect(), after which an earlier answer to
 * "where did this socket want to go" is void.
 */
static __always_inline enum course dial(struct bpf_sock_addr *ctx, const __u32 address[4], bool sets_peer,
                                        struct tg_host_port *to)
{
    struct selected s = {};
    struct dial d = {};
    struct bpf_sock *sk = ctx->sk;
    enum course course = TG_DIRECT;
    enum balance balanced = TG_NO_SERVICE;

    if (!sk)
        return TG_DIRECT;
    if ((ctx->protocol == IPPROTO_TCP || ctx->protocol == IPPROTO_UDP) && select_policy(&s) &&
        bpf_get_netns_cookie(ctx) == s.policy->netns_cookie) {
        __u64 owner = bpf_get_current_uid_gid();
        d.tcp = ctx->protocol == IPPROTO_TCP;
        d.port = bpf_ntohs((__u16)ctx->user_port);
        d.uid = (__u32)owner;
        d.gid = owner >> 32;
        d.mark = sk->mark;
        address_meant(d.address, address);
        read_source(sk, d.source);

        if (steered_just_now(sk, &d))
            return TG_DIRECT;
        verdict_t v = outbound_forget(&s, outbound_decide(&s, &d));
        if (sets_peer && d.tcp && course_of(v) == TG_STEER && listener_of(v) == s.policy->outbound_port)
            balanced = balance(&s, sk, &d, to);
        if (balanced == TG_TURNED_AWAY)
            v = outbound(TG_REFUSE, v & 0xff, 0);
        if (balanced == TG_NO_SERVICE && course_of(v) == TG_STEER && sk->bound_dev_if > LO_IFINDEX)
            v = outbound(TG_DIRECT, TG_RULE_OUT_INTERFACE, 0);
        if (balanced == TG_NO_SERVICE)
            toward_listener(&d, listener_of(v), to);
        if (balanced == TG_NO_SERVICE && course_of(v) == TG_STEER && !spread(ctx, &d, to) &&
            flagged(&s, TG_WHEN_DOWN_OPEN) &&
            !listening(ctx, to->address, address_is_v4(d.address), listener_of(v), d.tcp))
            v = outbound(TG_DIRECT, TG_RULE_OUT_DOWN, 0);
        /* A listener that can't be told the destination would have to refuse: better at once. */
        if (balanced == TG_NO_SERVICE && course_of(v) == TG_STEER && !remember(sk, &d, to))
            v = outbound(TG_REFUSE, TG_RULE_LOST_DESTINATION, 0);
        count(v & 0xff);
        course = course_of(v);
    }
    if ((course != TG_STEER || balanced == TG_CHOSEN) && sets_peer)
        bpf_sk_storage_delete(&tg_asked_by, sk);
    if (balanced != TG_CHOSEN && sets_peer)
        bpf_sk_storage_delete(&tg_balanced_as, sk);
    return course;
}

/* What a hook returns for TG_REFUSE. Before 5.18 the caller gets EPERM. */
static __always_inline int refuse(void)
{
    if (has(TG_FEATURE_SET_RETVAL))
        bpf_set_retval(-ECONNREFUSED);
    return 0;
}

#endif
