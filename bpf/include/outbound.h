/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Where a workload's own connection or datagram goes. The order of the questions is the contract's, the same in every
 * backend (intercept/plan/build.py).
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

enum course { TG_DIRECT, TG_STEER, TG_REFUSE };

/*
 * A verdict in one word: listener << 16 | course << 8 | rule. In one word, because the verifier follows each outcome
 * through all that comes after it: `outbound_forget` makes them one unknown number to it, and checking takes a tenth
 * of the time.
 */
typedef __u32 verdict_t;

static __always_inline verdict_t outbound(enum course course, __u32 rule, __u16 listener)
{
    return (__u32)listener << 16 | course << 8 | rule;
}

static __always_inline verdict_t outbound_forget(const struct selected *s, verdict_t verdict)
{
    return verdict ^ *(const volatile __u32 *)&s->policy->zero;
}

static __always_inline enum course course_of(verdict_t verdict)
{
    return verdict >> 8 & 0xff;
}

static __always_inline __u16 listener_of(verdict_t verdict)
{
    return verdict >> 16;
}

enum identity { TG_NOBODY, TG_BY_UID, TG_BY_GID, TG_BY_MARK };

/* As whom the caller is exempt: uid before gid before mark. */
static __always_inline enum identity exempt_as(const struct selected *s, const struct dial *d)
{
    if (flagged(s, TG_EXEMPT_UIDS) && number_find(s, TG_EXEMPT_UID, d->uid, 0))
        return TG_BY_UID;
    if (flagged(s, TG_EXEMPT_GIDS) && number_find(s, TG_EXEMPT_GID, d->gid, 0))
        return TG_BY_GID;
    return flagged(s, TG_EXEMPT_MARK) && d->mark == s->policy->exempt_mark ? TG_BY_MARK : TG_NOBODY;
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

static __always_inline bool dns_captured(const struct selected *s, const struct dial *d)
{
    if (d->port != 53)
        return false;
    return flagged(s, TG_DNS_ALL) || (flagged(s, TG_DNS_RESOLVERS) && net_has(s, TG_RESOLVER, d->address));
}

static __always_inline verdict_t outbound_of_exempt(const struct selected *s, const struct dial *d, enum identity who)
{
    __u32 nth = who - TG_BY_UID;
    if (d->tcp && flagged(s, TG_HAIRPIN) && d->port != s->policy->telemetry_port &&
        !port_in(s, TG_PORTS_IN_EXCLUDE, d->port) && !address_is_loopback(d->address) && is_own(s, d->address))
        return outbound(TG_STEER, TG_RULE_OUT_HAIRPIN_UID + nth, s->policy->inbound_port);
    return outbound(TG_DIRECT, TG_RULE_OUT_EXEMPT_UID + nth, 0);
}

/* The last questions: TCP only, and the destination decides. */
static __always_inline verdict_t outbound_by_destination(const struct selected *s, const struct dial *d)
{
    __u16 listener = s->policy->outbound_port;
    bool loopback = address_is_loopback(d->address);

    if (flagged(s, TG_SELF_DIRECT) && !loopback && is_own(s, d->address))
        return outbound(TG_DIRECT, TG_RULE_OUT_SELF, 0);
    if (loopback && !(flagged(s, TG_OUT_CIDRS) && net_has(s, TG_LOOPBACK_LISTED, d->address)))
        return outbound(TG_DIRECT, TG_RULE_OUT_LOOPBACK, 0);
    if (flagged(s, TG_OUT_PORTS) && port_in(s, TG_PORTS_OUT_INCLUDE, d->port))
        return outbound(TG_STEER, TG_RULE_OUT_INCLUDE_PORT, listener);
    if (flagged(s, TG_OUT_ALL) || (flagged(s, TG_OUT_CIDRS) && net_has(s, TG_OUT_INCLUDE, d->address)))
        return outbound(TG_STEER, TG_RULE_OUT_INCLUDE_CIDR, listener);
    return outbound(TG_DIRECT, TG_RULE_OUT_DEFAULT, 0);
}

static __always_inline verdict_t outbound_decide(const struct selected *s, const struct dial *d)
{
    if (flagged(s, TG_NO_IPV6) && !address_is_v4(d->address))
        return outbound(TG_DIRECT, TG_RULE_OUT_NO_IPV6, 0);
    if (port_in(s, TG_PORTS_OUT_EXCLUDE, d->port))
        return outbound(TG_DIRECT, TG_RULE_OUT_EXCLUDE_PORT, 0);
    if (d->tcp && is_listener(s, d->port) && is_own(s, d->address))
        return outbound(TG_REFUSE, TG_RULE_OUT_LISTENER, 0);
    if (!d->tcp && s->policy->dns_port && d->port == s->policy->dns_port && is_own(s, d->address))
        return outbound(TG_REFUSE, TG_RULE_OUT_LISTENER_DNS, 0);
    if (flagged(s, TG_EXEMPT_SOURCES) && net_has(s, TG_EXEMPT_SOURCE, d->source))
        return outbound(TG_DIRECT, TG_RULE_OUT_EXEMPT_SOURCE, 0);
    enum identity who = exempt_as(s, d);
    if (who != TG_NOBODY)
        return outbound_of_exempt(s, d, who);
    if (user_reaches_directly(s, d))
        return outbound(TG_DIRECT, TG_RULE_OUT_USER_PORT, 0);
    if (flagged(s, TG_GIDS_LISTED) && !number_find(s, TG_INCLUDE_GID, d->gid, 0))
        return outbound(TG_DIRECT, TG_RULE_OUT_INCLUDE_GID, 0);
    if (flagged(s, TG_GIDS_EXCLUDED) && number_find(s, TG_EXCLUDE_GID, d->gid, 0))
        return outbound(TG_DIRECT, TG_RULE_OUT_EXCLUDE_GID, 0);
    if (flagged(s, TG_OUT_EXCLUDES) && net_has(s, TG_OUT_EXCLUDE, d->address))
        return outbound(TG_DIRECT, TG_RULE_OUT_EXCLUDE_CIDR, 0);
    if (address_is_link_local(d->address))
        return outbound(TG_DIRECT, TG_RULE_OUT_LINK_LOCAL, 0);
    if (dns_captured(s, d))
        return outbound(TG_STEER, TG_RULE_OUT_DNS, s->policy->dns_port);
    if (!d->tcp)
        return outbound(TG_DIRECT, TG_RULE_OUT_UDP, 0);
    return outbound_by_destination(s, d);
}

#endif
