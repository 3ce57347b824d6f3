/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Keys and values of the direct lane's maps, as `bpf/direct_layout.py` writes and reads them; tests/unit/bpf holds the
 * two together. Addresses and ports as in wire.h.
 */
#ifndef TIDEGATE_DIRECT_WIRE_H
#define TIDEGATE_DIRECT_WIRE_H

#include "wire.h"

/* Endpoints of one service. A power of two: they are found by halving. */
#define TG_ENDPOINTS 128

/* Services are spread over so many banks by their address and port, so that a change rewrites a part of them. A power
 * of two. */
#define TG_BANKS 64

enum tg_service_flag {
    TG_SERVICE_DENIED = 1 << 0,
    TG_SERVICE_ROUND_ROBIN = 1 << 1,
    TG_SERVICE_LIMITED = 1 << 2,
    TG_SERVICE_AFFINE = 1 << 3,
};

/* An address and port as a key: no padding that could differ. */
struct tg_host_port {
    __u32 address[4];
    __u16 port;
    __u16 zero;
};

struct tg_service {
    __u64 interval_ns; /* of the rate limit: between two connections */
    __u64 credit_ns;   /* how far ahead of that a burst may run; all ones: without limit */
    __u64 affinity_ns; /* how long a client that makes no connection keeps its endpoint */
    __u32 id;
    __u32 flags;
    __u32 count;
    __u32 total;  /* of the weights */
    __u32 stride; /* round robin goes through 0..total-1 in steps of it: no common divisor, so each once a round */
    __u32 unused;
    /* ends[i]: the weights of the first i+1 endpoints together; all ones from `count` on. */
    __u32 ends[TG_ENDPOINTS];
    struct tg_host_port endpoints[TG_ENDPOINTS];
};

/* In the service's place: what arrives for the workload itself, at a port (and no address). */
#define TG_INBOUND_SERVICE 0xffffffff

/* What was and is counted for: an endpoint within a service. */
struct tg_member {
    __u32 service;
    struct tg_host_port endpoint;
};

/* Inbound ports of the direct lane, a bit each. */
struct tg_straight {
    __u64 ports[TG_PORT_WORDS];
};

struct tg_member_counts {
    __u64 begun; /* SYNs: those that are neither closed nor failed are open */
    __u64 opened;
    __u64 closed;
    __u64 failed; /* ended without having been established */
    __u64 sent;   /* bytes, the workload's to the endpoint, that were acknowledged */
    __u64 received;
    __u64 retransmits;
    __u64 srtt_us; /* not a sum: smoothed over the connections' own smoothed round-trip times */
};

enum tg_direct_ending {
    TG_ENDED_FINISHED = 0,
    TG_ENDED_RESET = 1,  /* by either side: sockops isn't told by which */
    TG_ENDED_FAILED = 2, /* it was never established */
};

/* One connection that has ended. Times by bpf_ktime_get_ns. */
struct tg_direct_end {
    __u64 begun_ns;
    __u64 ended_ns;
    __u64 sent;
    __u64 received;
    struct tg_member member;
    __u32 client[4];
    __u16 client_port;
    __u16 ending;
    __u32 retransmits;
    __u32 srtt_us;
    __u32 unused;
};

/* On the socket of a connection of the direct lane. */
struct tg_balanced {
    struct tg_member member;
    struct tg_host_port wanted; /* what connect() was asked for; all zero inbound */
    __u32 retransmits;          /* this and the next two: what has been counted of this connection */
    __u64 sent;
    __u64 received;
    __u64 begun_ns; /* 0: its SYN has not left yet */
    __u32 syn;      /* 1 where our SYN is among the bytes that the kernel counts as acknowledged */
    __u8 begun;     /* and not ended */
    __u8 established;
    __u8 peer_finished;
    __u8 unused;
};

#endif
