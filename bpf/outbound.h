/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Where a workload's own connection or datagram goes. The order of the questions is the contract's, the same in every
 * backend (intercept/plan.py).
 */
#ifndef TIDEGATE_OUTBOUND_H
#define TIDEGATE_OUTBOUND_H

#include "address.h"
#include "policy.h"

/* Everything that the decision depends on, besides the policy. */
struct dial {
    __u32 address[4];
    __u32 source[4]; /* what the socket is bound to; all zero: nothing */
    __u32 uid;
    __u32 gid;
    __u32 mark;
    __u16 port;
    bool tcp; /* else UDP */
};

struct outbound_verdict {
    __u16 listener; /* 0 with steer: a port where nobody can listen, so that the kernel refuses at once */
    bool steer;
    enum tg_rule rule;
};

static __always_inline struct outbound_verdict outbound_direct(enum tg_rule rule)
{
    struct outbound_verdict v = {.listener = 0, .steer = false, .rule = rule};
    return v;
}

static __always_inline struct outbound_verdict outbound_steer(enum tg_rule rule, __u16 listener)
{
    struct outbound_verdict v = {.listener = listener, .steer = true, .rule = rule};
    return v;
}

static __always_inline bool exempt_source(const struct selected *s, const struct dial *d)
{
    return flagged(s, TG_EXEMPT_SOURCES) && net_has(s, TG_EXEMPT_SOURCE, d->source);
}

static __always_inline bool exempt_owner(const struct selected *s, const struct dial *d)
{
    if (flagged(s, TG_EXEMPT_UIDS) && number_find(s, TG_EXEMPT_UID, d->uid, 0))
        return true;
    if (flagged(s, TG_EXEMPT_GIDS) && number_find(s, TG_EXEMPT_GID, d->gid, 0))
        return true;
    return flagged(s, TG_EXEMPT_MARK) && d->mark == s->policy->exempt_mark;
}

static __always_inline bool user_reaches_directly(const struct selected *s, const struct dial *d)
{
    if (!flagged(s, TG_USER_PORTS))
        return false;
    __u32 *class = number_find(s, TG_USER_CLASS, d->uid, 0);
    if (!class)
        return false;
    __u32 protocol = d->tcp ? IPPROTO_TCP : IPPROTO_UDP;
    return number_find(s, TG_CLASS_PORT, *class, protocol << 16 | d->port);
}

static __always_inline bool gid_not_captured(const struct selected *s, __u32 gid)
{
    if (flagged(s, TG_GIDS_EXCLUDED) && number_find(s, TG_EXCLUDE_GID, gid, 0))
        return true;
    return flagged(s, TG_GIDS_LISTED) && !number_find(s, TG_INCLUDE_GID, gid, 0);
}

static __always_inline bool dns_captured(const struct selected *s, const struct dial *d)
{
    if (d->port != 53)
        return false;
    return flagged(s, TG_DNS_ALL) || (flagged(s, TG_DNS_RESOLVERS) && net_has(s, TG_RESOLVER, d->address));
}

static __always_inline struct outbound_verdict outbound_decide(const struct selected *s, const struct dial *d)
{
    const struct tg_policy *p = s->policy;
    bool loopback = address_is_loopback(d->address);

    if (port_in(s, TG_PORTS_OUT_EXCLUDE, d->port))
        return outbound_direct(TG_RULE_OUT_EXCLUDE_PORT);
    if (d->tcp && is_listener(s, d->port) && is_own(s, d->address))
        return outbound_steer(TG_RULE_OUT_LISTENER, 0);
    if (exempt_source(s, d))
        return outbound_direct(TG_RULE_OUT_EXEMPT);
    if (exempt_owner(s, d)) {
        if (d->tcp && flagged(s, TG_HAIRPIN) && !loopback && is_own(s, d->address))
            return outbound_steer(TG_RULE_OUT_HAIRPIN, p->inbound_port);
        return outbound_direct(TG_RULE_OUT_EXEMPT);
    }
    if (user_reaches_directly(s, d))
        return outbound_direct(TG_RULE_OUT_USER_PORT);
    if (gid_not_captured(s, d->gid))
        return outbound_direct(TG_RULE_OUT_GID);
    if (flagged(s, TG_OUT_EXCLUDES) && net_has(s, TG_OUT_EXCLUDE, d->address))
        return outbound_direct(TG_RULE_OUT_EXCLUDE_CIDR);
    if (dns_captured(s, d))
        return outbound_steer(TG_RULE_OUT_DNS, p->dns_port);
    if (!d->tcp)
        return outbound_direct(TG_RULE_OUT_DEFAULT);
    if (flagged(s, TG_SELF_DIRECT) && !loopback && is_own(s, d->address))
        return outbound_direct(TG_RULE_OUT_SELF);
    if (loopback) {
        if (flagged(s, TG_OUT_CIDRS) && net_has(s, TG_OUT_INCLUDE, d->address))
            return outbound_steer(TG_RULE_OUT_LOOPBACK_LISTED, p->outbound_port);
        return outbound_direct(TG_RULE_OUT_LOOPBACK);
    }
    if (flagged(s, TG_OUT_PORTS) && port_in(s, TG_PORTS_OUT_INCLUDE, d->port))
        return outbound_steer(TG_RULE_OUT_INCLUDE_PORT, p->outbound_port);
    if (flagged(s, TG_OUT_ALL) || (flagged(s, TG_OUT_CIDRS) && net_has(s, TG_OUT_INCLUDE, d->address)))
        return outbound_steer(TG_RULE_OUT_INCLUDE_CIDR, p->outbound_port);
    return outbound_direct(TG_RULE_OUT_DEFAULT);
}

#endif
