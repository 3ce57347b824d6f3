// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* On the cgroup of a command of `tidegate run`, before any hook that steers: which connections its processes asked for,
 * on which ports they listen, and which UDP packets left. It changes nothing and lets everything pass. */
#include "seen.h"

#include <linux/if_ether.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include "sockaddr.h"

static __always_inline int note_connect(struct bpf_sock_addr *ctx, struct tg_seen_key *key)
{
    __u64 who;
    /* connect() of a datagram socket sends nothing: the resolver does so to sort addresses. */
    if (ctx->protocol != IPPROTO_TCP)
        return 1;
    who = bpf_get_current_uid_gid();
    key->uid = (__u32)who;
    key->gid = (__u32)(who >> 32);
    key->port = bpf_ntohs((__u16)CTX(ctx->user_port));
    key->protocol = IPPROTO_TCP;
    bpf_get_current_comm(key->name, sizeof key->name);
    note_seen(key);
    return 1;
}

SEC("cgroup/connect4")
int seen_connect4(struct bpf_sock_addr *ctx)
{
    struct tg_seen_key key = {};
    read_v4(ctx, key.address);
    return note_connect(ctx, &key);
}

SEC("cgroup/connect6")
int seen_connect6(struct bpf_sock_addr *ctx)
{
    struct tg_seen_key key = {};
    read_v6(ctx, key.address);
    return note_connect(ctx, &key);
}

static __always_inline int note_bound(struct bpf_sock *ctx)
{
    struct tg_seen_key key = {.protocol = TG_SEEN_BOUND};
    if (ctx->protocol != IPPROTO_TCP)
        return 1;
    key.port = (__u16)ctx->src_port;
    bpf_get_current_comm(key.name, sizeof key.name);
    note_seen(&key);
    return 1;
}

SEC("cgroup/post_bind4")
int seen_bind4(struct bpf_sock *ctx)
{
    return note_bound(ctx);
}

SEC("cgroup/post_bind6")
int seen_bind6(struct bpf_sock *ctx)
{
    return note_bound(ctx);
}

SEC("cgroup_skb/egress")
int seen_egress(struct __sk_buff *skb)
{
    struct tg_seen_key key = {.protocol = IPPROTO_UDP};
    struct udphdr udp;
    __u32 behind;

    if (skb->protocol == bpf_htons(ETH_P_IP)) {
        struct iphdr ip;
        if (bpf_skb_load_bytes(skb, 0, &ip, sizeof ip) < 0 || ip.protocol != IPPROTO_UDP)
            return 1;
        address_v4(key.address, ip.daddr);
        behind = ip.ihl * 4;
    } else {
        struct ipv6hdr ip;
        if (bpf_skb_load_bytes(skb, 0, &ip, sizeof ip) < 0 || ip.nexthdr != IPPROTO_UDP)
            return 1;
        __builtin_memcpy(key.address, &ip.daddr, sizeof key.address);
        behind = sizeof ip;
    }
    if (bpf_skb_load_bytes(skb, behind, &udp, sizeof udp) < 0)
        return 1;
    key.port = bpf_ntohs(udp.dest);
    key.uid = bpf_get_socket_uid(skb);
    note_seen(&key);
    return 1;
}

TG_LICENSE;
