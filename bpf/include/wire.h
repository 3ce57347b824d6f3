/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Keys, values and numbers that the programs and `bpf/layout.py` agree on; tests/unit/bpf holds the two together.
 * Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d, so that one code path serves both families and
 * v4-mapped sockets. Ports are in host order everywhere but in kernel contexts.
 */
#ifndef TIDEGATE_WIRE_H
#define TIDEGATE_WIRE_H

#include <linux/types.h>

/* Sockets of one proxy that may listen on the inbound port at a time and family (SO_REUSEPORT workers). */
#define TG_SLOTS 16
/* Listening sockets that may share one address and port, counted only where capture is scoped to a cgroup. */
#define TG_SHARERS 8
#define TG_PORT_WORDS 1024

/* What a key of the trie means. Sets that are empty are not asked: see the flags. */
enum tg_kind {
    TG_OWN = 1,           /* an address of this network namespace */
    TG_OUT_INCLUDE = 2,   /* --include-outbound-cidrs */
    TG_OUT_EXCLUDE = 3,   /* --exclude-outbound-cidrs */
    TG_IN_EXCLUDE = 4,    /* --exclude-inbound-cidrs, by source */
    TG_RESOLVER = 5,      /* --dns resolvers */
    TG_EXEMPT_SOURCE = 6, /* addresses that the proxy binds for its own calls */
    TG_EXEMPT_UID = 7,
    TG_EXEMPT_GID = 8,
    TG_INCLUDE_GID = 9,
    TG_EXCLUDE_GID = 10,
    TG_USER_CLASS = 11,      /* uid -> class of users that share their --exclude-outbound-for */
    TG_CLASS_PORT = 12,      /* class, protocol, port */
    TG_LOOPBACK_LISTED = 13, /* those of --include-outbound-cidrs that lie within loopback */
};

enum tg_port_set {
    TG_PORTS_OUT_EXCLUDE = 0,
    TG_PORTS_OUT_INCLUDE = 1,
    TG_PORTS_IN_INCLUDE = 2,
    TG_PORTS_IN_EXCLUDE = 3,
    TG_PORT_SETS = 4,
};

enum tg_flag {
    TG_OUT_ALL = 1 << 0,         /* --include-outbound-cidrs '*' */
    TG_OUT_CIDRS = 1 << 1,       /* some are listed */
    TG_OUT_EXCLUDES = 1 << 2,    /* excluded CIDRs are listed */
    TG_IN_EXCLUDES = 1 << 3,     /* excluded source CIDRs are listed */
    TG_GIDS_LISTED = 1 << 4,     /* only the listed groups are captured */
    TG_GIDS_EXCLUDED = 1 << 5,   /* some groups are not */
    TG_USER_PORTS = 1 << 6,      /* --exclude-outbound-for */
    TG_EXEMPT_UIDS = 1 << 7,     /* some uids are exempt */
    TG_EXEMPT_GIDS = 1 << 8,     /* some gids are exempt */
    TG_EXEMPT_MARK = 1 << 9,     /* policy.exempt_mark is meant */
    TG_EXEMPT_SOURCES = 1 << 10, /* some bound source addresses are exempt */
    TG_DNS_ALL = 1 << 11,        /* --dns all */
    TG_DNS_RESOLVERS = 1 << 12,  /* --dns resolvers */
    TG_SELF_DIRECT = 1 << 13,    /* --self-calls bypass, hairpin */
    TG_HAIRPIN = 1 << 14,        /* --self-calls hairpin */
    TG_WHEN_DOWN_OPEN = 1 << 15, /* --when-down open */
    TG_NO_IPV6 = 1 << 16,        /* --ipv6 off */
    TG_IN_SCOPED = 1 << 17,      /* --cgroup: inbound only to listeners of that cgroup */
    TG_OUT_PORTS = 1 << 18,      /* --include-outbound-ports */
    TG_UNGUARDED = 1 << 19,      /* while netfilter is there too: what it redirected looks dialled straight */
};

/* What a decision rested on; also the index of its counter. `bpf.layout.RULES` has their names: a plan's own. */
enum tg_rule {
    TG_RULE_OUT_EXCLUDE_PORT = 0,
    TG_RULE_OUT_LISTENER,
    TG_RULE_OUT_LISTENER_DNS,
    TG_RULE_OUT_EXEMPT_SOURCE,
    TG_RULE_OUT_EXEMPT_UID,
    TG_RULE_OUT_EXEMPT_GID,
    TG_RULE_OUT_EXEMPT_MARK,
    TG_RULE_OUT_HAIRPIN_UID,
    TG_RULE_OUT_HAIRPIN_GID,
    TG_RULE_OUT_HAIRPIN_MARK,
    TG_RULE_OUT_USER_PORT,
    TG_RULE_OUT_INCLUDE_GID,
    TG_RULE_OUT_EXCLUDE_GID,
    TG_RULE_OUT_EXCLUDE_CIDR,
    TG_RULE_OUT_DNS,
    TG_RULE_OUT_UDP,
    TG_RULE_OUT_SELF,
    TG_RULE_OUT_LOOPBACK,
    TG_RULE_OUT_INCLUDE_PORT,
    TG_RULE_OUT_INCLUDE_CIDR,
    TG_RULE_OUT_DEFAULT,
    TG_RULE_OUT_DOWN,
    TG_RULE_OUT_NO_IPV6,
    TG_RULE_IN_LOCAL,
    TG_RULE_IN_SCOPE,
    TG_RULE_IN_EXCLUDE_PORT,
    TG_RULE_IN_EXCLUDE_CIDR,
    TG_RULE_IN_LISTENER,
    TG_RULE_IN_TELEMETRY,
    TG_RULE_IN_INCLUDE_PORT,
    TG_RULE_IN_DEFAULT,
    TG_RULE_IN_DOWN,
    TG_RULE_LOST_DESTINATION, /* a steered connection whose original destination could not be kept */
    TG_RULE_OUT_LINK_LOCAL,
    TG_RULE_OUT_INTERFACE, /* it would be captured, but its socket is bound to an interface and cannot reach loopback */
    TG_RULE_LOST_LISTENER, /* of the captured cgroup, for which no place was left: its port counts at every address */
    TG_RULES,
};

/* Optional helpers and context fields; each object gets the set that the loader found, before it is verified. */
enum tg_feature {
    TG_FEATURE_SOCKOPS_NETNS = 1 << 0,   /* bpf_get_netns_cookie in sockops (5.15) */
    TG_FEATURE_SET_RETVAL = 1 << 1,      /* bpf_set_retval in cgroup hooks (5.18) */
    TG_FEATURE_INGRESS_IFINDEX = 1 << 2, /* bpf_sk_lookup.ingress_ifindex (5.17) */
};

struct tg_policy {
    __u64 netns_cookie;
    __u32 flags;
    __u32 exempt_mark;
    __u16 outbound_port;
    __u16 inbound_port;
    __u16 dns_port; /* 0: DNS is not captured and this port is a port like any other */
    __u16 telemetry_port;
    __u32 zero; /* always 0, which the verifier does not know: see outbound.h */
    __u32 unused;
    __u64 ports[TG_PORT_SETS][TG_PORT_WORDS];
};

/* From where an entry of tg_workload_ports comes. */
enum tg_told_by {
    TG_TOLD_BY_HOOK = 0, /* counted up at listen(), down when the socket stops listening */
    TG_TOLD_BY_USER = 1, /* found by user space, which looks again at intervals */
};

/* Added to the kind of an IPv4 network: ::/0 must not hold the v4-mapped addresses. */
#define TG_KIND_V4 256

struct tg_net_key {
    __u32 prefixlen; /* 32 for the kind, and the bits of data that count */
    __u32 kind;      /* network order */
    __u32 data[4];   /* network order: an address, an id, or (class, protocol << 16 | port) */
};

struct tg_endpoint {
    __u32 address[4];
    __u16 port;
    __u16 family; /* of the address: AF_INET for a mapped one */
};

/* One TCP connection between a client and a listener of ours, as both ends see it. */
struct tg_flow {
    __u32 client[4];
    __u32 listener[4];
    __u16 client_port;
    __u16 listener_port;
};

/* On the client's socket: where it wanted to go, and how it gets to a listener instead. */
struct tg_asked {
    struct tg_endpoint wanted;
    struct tg_flow flow; /* all zero until the SYN is about to leave */
};

/* A listening socket of the captured cgroup. In tg_workload_ports the sharer is one of enum tg_told_by. */
struct tg_listening {
    __u32 address[4];
    __u16 port;
    __u16 sharer;
};

#endif
