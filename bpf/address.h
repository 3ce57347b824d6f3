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

static __always_inline bool address_is_v4(const __u32 a[4])
{
    return a[0] == 0 && a[1] == 0 && a[2] == TG_MAPPED;
}

/* connect() to the unspecified address means loopback in Linux, so it counts as such. */
static __always_inline bool address_is_loopback(const __u32 a[4])
{
    if (address_is_v4(a))
        return (bpf_ntohl(a[3]) >> 24) == 127 || a[3] == 0;
    return a[0] == 0 && a[1] == 0 && a[2] == 0 && (a[3] == 0 || a[3] == bpf_htonl(1));
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
