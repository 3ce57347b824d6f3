/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What `tidegate run` counts of its command, whatever the backend: keys and values of tg_seen (bpf/seen.py). */
#ifndef TIDEGATE_SEEN_H
#define TIDEGATE_SEEN_H

#include "common.h"

#define TG_SEEN_MOST 8192
#define TG_SEEN_BOUND 256 /* in place of a protocol: a TCP socket was bound, to listen or to connect from */

struct tg_seen_key {
    __u32 address[4]; /* as the program named it; IPv4 v4-mapped */
    __u32 uid;
    __u32 gid;
    __u16 port; /* host order */
    __u16 protocol;
    char name[16]; /* of the thread; empty for packets */
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, TG_SEEN_MOST);
    __type(key, struct tg_seen_key);
    __type(value, __u64);
} tg_seen SEC(".maps");

/* What found no room in tg_seen. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} tg_seen_more SEC(".maps");

static __always_inline void note_seen(const struct tg_seen_key *key)
{
    const __u64 one = 1;
    __u32 first = 0;
    __u64 *count = bpf_map_lookup_elem(&tg_seen, key);
    if (count == NULL && bpf_map_update_elem(&tg_seen, key, &one, BPF_NOEXIST) == 0)
        return;
    /* Another processor may have been faster than our update. */
    if (count == NULL)
        count = bpf_map_lookup_elem(&tg_seen, key);
    if (count == NULL)
        count = bpf_map_lookup_elem(&tg_seen_more, &first);
    if (count != NULL)
        __sync_fetch_and_add(count, 1);
}

#endif
