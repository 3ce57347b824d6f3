/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses of both families in one form. */
#ifndef TIDEGATE_ADDRESS_H
#define TIDEGATE_ADDRESS_H

#include "common.h"

#define TG_MAPPED bpf_htonl(0x0000ffff)

static __always_inline void address_v4(__u32 out[4], __u32 v4)
{
    out[0] = 0;
    out[1] = 0;
    out[2] = TG_MAPPED;
    out[3] = v4;
}

/* 1 for 0, else 0, without a jump: each jump on an address doubles what the verifier has to follow. */
static __always_inline __u32 is_zero(__u32 value)
{
    __u64 wide = value;
    wide -= 1;
    asm volatile("" : "+r"(wide)); /* else clang turns it back into a comparison and a jump */
    return wide >> 63;
}

static __always_inline bool address_is_v4(const __u32 a[4])
{
    return is_zero(a[0] | a[1] | (a[2] ^ TG_MAPPED));
}

/* The unspecified address counts as loopback: connecting to it leads there. */
static __always_inline bool address_is_loopback(const __u32 a[4])
{
    __u32 last = bpf_ntohl(a[3]);
    __u32 v4 = is_zero(a[0] | a[1] | (a[2] ^ TG_MAPPED)) & (is_zero(last >> 24 ^ 127) | is_zero(last));
    __u32 v6 = is_zero(a[0] | a[1] | a[2]) & is_zero(last >> 1);
    return v4 | v6;
}

/* Where connecting to `a` leads: the unspecified address means 127.0.0.1 or ::1. */
static __always_inline void address_meant(__u32 out[4], const __u32 a[4])
{
    __u32 v4 = is_zero(a[0] | a[1] | (a[2] ^ TG_MAPPED) | a[3]), v6 = is_zero(a[0] | a[1] | a[2] | a[3]);
    out[0] = a[0];
    out[1] = a[1];
    out[2] = a[2];
    out[3] = a[3] | v4 * bpf_htonl(0x7f000001) | v6 * bpf_htonl(1);
}

static __always_inline bool is_unspecified(const __u32 a[4])
{
    return is_zero(a[0] | a[1] | a[3]) & (is_zero(a[2]) | is_zero(a[2] ^ TG_MAPPED));
}

/* fe80::/10: where it leads depends on an interface, which a connection to a listener would lose. */
static __always_inline bool address_is_link_local(const __u32 a[4])
{
    return is_zero((a[0] & bpf_htonl(0xffc00000)) ^ bpf_htonl(0xfe800000));
}

static __always_inline __u16 address_family(const __u32 a[4])
{
    return address_is_v4(a) ? AF_INET : AF_INET6;
}

/* The loopback address through which a listener is reached by a client of that family. */
static __always_inline void address_loopback(__u32 out[4], bool v4)
{
    out[0] = 0;
    out[1] = 0;
    out[2] = v4 ? TG_MAPPED : 0;
    out[3] = v4 ? bpf_htonl(0x7f000001) : bpf_htonl(1);
}

static __always_inline bool address_equal(const __u32 a[4], const __u32 b[4])
{
    return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

/* Reads both forms of a context's address and picks by value: a pointer picked by family would be refused. */
#define address_from_ctx(out, is_v4, ip4, ip6)                                                                         \
    do {                                                                                                               \
        __u32 v4_ = CTX(ip4), a_ = CTX((ip6)[0]), b_ = CTX((ip6)[1]), c_ = CTX((ip6)[2]), d_ = CTX((ip6)[3]);          \
        (out)[0] = (is_v4) ? 0 : a_;                                                                                   \
        (out)[1] = (is_v4) ? 0 : b_;                                                                                   \
        (out)[2] = (is_v4) ? TG_MAPPED : c_;                                                                           \
        (out)[3] = (is_v4) ? v4_ : d_;                                                                                 \
    } while (0)

#endif
