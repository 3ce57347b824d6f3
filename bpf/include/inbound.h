/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Where a connection that arrives goes. The order of the questions is the contract's, as for outbound.h. Whether it is
 * a call within the namespace by its interface, and whether somebody of the captured cgroup listens, only the hook that
 * steers can ask.
 */
#ifndef TIDEGATE_INBOUND_H
#define TIDEGATE_INBOUND_H

#include "address.h"
#include "direct/maps.h"
#include "policy.h"

/* TG_RULE_IN_INCLUDE_PORT: it is captured. TG_RULE_IN_LISTENER: dialled straight to a listener. Else it is left alone.
 */
static __always_inline enum tg_rule inbound_decide(const struct selected *s, const __u32 remote[4], __u16 port)
{
    if (port_in(s, TG_PORTS_IN_EXCLUDE, port))
        return TG_RULE_IN_EXCLUDE_PORT;
    if (flagged(s, TG_IN_EXCLUDES) && net_has(s, TG_IN_EXCLUDE, remote))
        return TG_RULE_IN_EXCLUDE_CIDR;
    if (is_listener(s, port))
        return TG_RULE_IN_LISTENER;
    if (port == s->policy->telemetry_port)
        return TG_RULE_IN_TELEMETRY;
    return port_in(s, TG_PORTS_IN_INCLUDE, port) ? TG_RULE_IN_INCLUDE_PORT : TG_RULE_IN_DEFAULT;
}

/* Of what is captured: whether the direct lane has it, which is to say the workload's own socket. */
static __always_inline bool goes_straight(__u16 port)
{
    __u32 zero = 0, index = port;
    struct tg_straight *straight = bpf_map_lookup_elem(&tg_straight_ports, &zero);
    asm volatile("" : "+r"(index)); /* see port_in */
    index &= 0xffff;
    return straight && straight->ports[index >> 6] >> (index & 63) & 1;
}

#endif
