// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* sk_lookup on the network namespace: gives an arriving connection to the inbound listener, with its addresses
 * untouched. Asked only where no established socket matches. */
#include "address.h"
#include "features.h"
#include "inbound.h"
#include "listeners.h"

static __always_inline bool give_to(struct bpf_sk_lookup *ctx, __u32 first, __u16 port)
{
    for (__u32 i = 0; i < TG_SLOTS; i++) {
        __u32 slot = first + i;
        struct bpf_sock *sk = bpf_map_lookup_elem(&tg_inbound, &slot);
        if (!sk)
            continue;
        /* Registered under an earlier policy with another port: not ours any more, though it may live on. */
        if (sk->src_port != port) {
            bpf_sk_release(sk);
            continue;
        }
        /* Fails for an IPv6-only listener and an IPv4 client. Workers that share the port are chosen among by the
         * kernel's own SO_REUSEPORT hash. */
        long failed = bpf_sk_assign(ctx, sk, 0);
        bpf_sk_release(sk);
        if (!failed)
            return true;
    }
    return false;
}

/* Whether a listener of the captured cgroup would get this connection. */
static __always_inline bool workload_listens(const __u32 address[4], __u16 port)
{
    for (__u16 i = 0; i < TG_SHARERS; i++) {
        struct tg_listening key = {
            .address = {address[0], address[1], address[2], address[3]},
            .port = port,
            .sharer = i,
        };
        struct bpf_sock *sk = bpf_map_lookup_elem(&tg_workload, &key);
        if (sk) {
            bpf_sk_release(sk);
            return true;
        }
    }
    struct tg_listening key = {
        .address = {address[0], address[1], address[2], address[3]},
        .port = port,
        .sharer = TG_TOLD_BY_HOOK,
    };
    if (bpf_map_lookup_elem(&tg_workload_ports, &key))
        return true;
    key.sharer = TG_TOLD_BY_USER;
    return bpf_map_lookup_elem(&tg_workload_ports, &key);
}

/* Whether one of the cgroup listens there at an address for which no place was left. */
static __always_inline bool is_crowded(__u16 port)
{
    __u32 number = port;
    __u32 *crowd = bpf_map_lookup_elem(&tg_workload_crowd, &number);
    return crowd && *crowd;
}

static __always_inline bool in_scope(const __u32 local[4], __u16 port)
{
    __u32 any_v6[4] = {}, any_v4[4];
    address_v4(any_v4, 0);
    if (workload_listens(local, port) || workload_listens(any_v6, port))
        return true;
    return (address_is_v4(local) && workload_listens(any_v4, port)) || is_crowded(port);
}

static __always_inline void read_addresses(struct bpf_sk_lookup *ctx, __u32 local[4], __u32 remote[4])
{
    bool v4 = ctx->family == AF_INET;
    address_from_ctx(local, v4, ctx->local_ip4, ctx->local_ip6);
    address_from_ctx(remote, v4, ctx->remote_ip4, ctx->remote_ip6);
}

static __always_inline int decided(enum tg_rule rule, int verdict)
{
    count(rule);
    return verdict;
}

SEC("sk_lookup")
int inbound(struct bpf_sk_lookup *ctx)
{
    struct selected s = {};
    __u32 local[4], remote[4];
    __u16 port = ctx->local_port;

    if (ctx->protocol != IPPROTO_TCP || !select_policy(&s))
        return SK_PASS;
    if (ctx->family == AF_INET6 && flagged(&s, TG_NO_IPV6))
        return SK_PASS;
    read_addresses(ctx, local, remote);
    /* Calls within the namespace, those that were steered among them. A packet from outside cannot bear a source
     * address of our own: the kernel drops it before. */
    if (has(TG_FEATURE_INGRESS_IFINDEX) && ctx->ingress_ifindex == LO_IFINDEX)
        return decided(TG_RULE_IN_LOCAL, SK_PASS);
    /* A link-local address of ours may be another's on another link. */
    bool ambiguous = has(TG_FEATURE_INGRESS_IFINDEX) && address_is_link_local(remote);
    if (!ambiguous && is_own(&s, remote))
        return decided(TG_RULE_IN_LOCAL, SK_PASS);
    if (flagged(&s, TG_IN_SCOPED) && !in_scope(local, port))
        return decided(TG_RULE_IN_SCOPE, SK_PASS);
    enum tg_rule rule = inbound_decide(&s, remote, port);
    /* Dialled straight to a listener: refused, for it would be asked to call itself. */
    if (rule == TG_RULE_IN_LISTENER)
        return decided(rule, flagged(&s, TG_UNGUARDED) ? SK_PASS : SK_DROP);
    if (rule != TG_RULE_IN_INCLUDE_PORT || goes_straight(port))
        return decided(rule, SK_PASS);
    if ((ctx->family == AF_INET && give_to(ctx, 0, s.policy->inbound_port)) ||
        give_to(ctx, TG_SLOTS, s.policy->inbound_port))
        return decided(TG_RULE_IN_INCLUDE_PORT, SK_PASS);
    /* No proxy listens. Open: the workload's own socket answers. Closed: refused at once, by a reset. */
    return decided(TG_RULE_IN_DOWN, flagged(&s, TG_WHEN_DOWN_OPEN) ? SK_PASS : SK_DROP);
}

TG_LICENSE;
