/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * A mirror of what routing chooses: no hook can ask it. Where policy routing rules or VRFs have a say as well, it may
 * be wrong, which `status` tells.
 */
#ifndef TIDEGATE_SOURCES_H
#define TIDEGATE_SOURCES_H

#include "address.h"

struct tg_source {
    __u32 address[4];
};

/* Destinations -> the local address of a socket that goes there. The key's kind is 0 or TG_KIND_V4. Written by
 * intercept/backends/ebpf/sources.py at init and by the companion when routes change; read by getsockname. Lives as
 * long as the capture. A destination that is not in it shows what the socket has. */
struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(max_entries, 1 << 14);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct tg_net_key);
    __type(value, struct tg_source);
} tg_sources SEC(".maps");

static __always_inline bool source_toward(const __u32 destination[4], __u32 out[4])
{
    struct tg_net_key key = {
        .prefixlen = 160,
        .kind = bpf_htonl(address_is_v4(destination) * TG_KIND_V4),
        .data = {destination[0], destination[1], destination[2], destination[3]},
    };
    struct tg_source *source = bpf_map_lookup_elem(&tg_sources, &key);
    if (!source)
        return false;
    __builtin_memcpy(out, source->address, sizeof(source->address));
    return true;
}

#endif
