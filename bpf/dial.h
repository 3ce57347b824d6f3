/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * The part that connect and sendmsg have in common, for both families: read who wants to go where, decide, remember
 * what was asked. Writing the new address back is left to the hook, because the context's fields differ by family.
 */
#ifndef TIDEGATE_DIAL_H
#define TIDEGATE_DIAL_H

#include "outbound.h"
#include "sockaddr.h"
#include "state.h"

static __always_inline bool listening(struct bpf_sock_addr *ctx, bool v4, __u16 port, bool tcp)
{
    struct bpf_sock_tuple tuple = {};
    __u32 size;
    if (v4) {
        tuple.ipv4.saddr = bpf_htonl(0x7f000001);
        tuple.ipv4.daddr = bpf_htonl(0x7f000001);
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

/*
 * True: send it to `listener` on the loopback address of `address`'s family instead; what was asked is remembered on
 * the socket. False: leave it alone; nothing is remembered. sets_peer: a connect(), after which an earlier answer to
 * "where did this socket want to go" is void.
 */
static __always_inline bool dial(struct bpf_sock_addr *ctx, const __u32 address[4], bool sets_peer, __u16 *listener)
{
    struct selected s = {};
    struct outbound_verdict v;
    struct dial d = {};
    struct bpf_sock *sk = ctx->sk;

    if (!sk)
        return false;
    if (!select_policy(&s) || bpf_get_netns_cookie(ctx) != s.policy->netns_cookie)
        goto direct;
    if (ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_UDP)
        goto direct;

    bool v4 = address_is_v4(address);
    __u64 owner = bpf_get_current_uid_gid();
    d.tcp = ctx->protocol == IPPROTO_TCP;
    d.port = bpf_ntohs((__u16)ctx->user_port);
    d.uid = (__u32)owner;
    d.gid = owner >> 32;
    d.mark = sk->mark;
    __builtin_memcpy(d.address, address, sizeof(d.address));
    read_source(sk, d.source);

    v = flagged(&s, TG_NO_IPV6) && !v4 ? outbound_direct(TG_RULE_OUT_NO_IPV6) : outbound_decide(&s, &d);
    if (v.steer && v.listener && flagged(&s, TG_WHEN_DOWN_OPEN) && !listening(ctx, v4, v.listener, d.tcp))
        v = outbound_direct(TG_RULE_OUT_DOWN);
    count(v.rule);
    if (!v.steer)
        goto direct;
    if (v.listener) {
        struct tg_asked *asked = bpf_sk_storage_get(&tg_asked_by, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
        if (!asked) {
            /* Out of memory. The listener could not tell where it goes, so it is refused rather than misdirected. */
            count(TG_RULE_LOST_DESTINATION);
            v.listener = 0;
        } else {
            __builtin_memset(&asked->flow, 0, sizeof(asked->flow));
            __builtin_memcpy(asked->wanted.address, address, sizeof(asked->wanted.address));
            asked->wanted.port = d.port;
            asked->wanted.family = address_family(address);
            /* Until the SYN leaves, only these two are known; a peer that is another is none of ours. */
            address_loopback(asked->flow.listener, v4);
            asked->flow.listener_port = v.listener;
        }
    }
    *listener = v.listener;
    return true;

direct:
    if (sets_peer)
        bpf_sk_storage_delete(&tg_asked_by, sk);
    return false;
}

#endif
