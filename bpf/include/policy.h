/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * The policy in force. There are two banks; `active` says which one counts (0: none, everything goes direct). The
 * loader fills the other bank and then writes `active`: one write changes every hook at the same instant.
 */
#ifndef TIDEGATE_POLICY_H
#define TIDEGATE_POLICY_H

#include "address.h"
#include "common.h"

/* Written by loader.activate, read by every hook. Lives as long as the capture. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} tg_active SEC(".maps");

/* By bank - 1. Written by loader.fill_bank while that bank is idle, read by every hook. Lives as long as the capture.
 */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, struct tg_policy);
} tg_policies SEC(".maps");

/* The networks and numbers of one bank. Written by loader.fill_bank before it can be seen, its TG_OWN entries also by
 * loader.replace_kind afterwards; read by every hook. Lives until its bank is filled anew. */
struct tg_net_bank {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(max_entries, 1 << 20);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(key_size, sizeof(struct tg_net_key));
    __uint(value_size, sizeof(__u32));
};

/* By bank - 1. Written by loader.fill_bank, read by every hook. Lives as long as the capture. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 2);
    __type(key, __u32);
    __array(values, struct tg_net_bank);
} tg_nets SEC(".maps");

/* By rule: decisions that rested on it. Written by every hook that decides, read by `status`. Lives as long as the
 * capture. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, TG_RULES);
    __type(key, __u32);
    __type(value, __u64);
} tg_counters SEC(".maps");

struct selected {
    const struct tg_policy *policy;
    void *nets;
};

/* False when nothing is in force. */
static __always_inline bool select_policy(struct selected *out)
{
    __u32 zero = 0;
    __u32 *active = bpf_map_lookup_elem(&tg_active, &zero);
    if (!active)
        return false;
    __u32 bank = *(volatile __u32 *)active;
    if (bank == 0)
        return false;
    bank -= 1;
    out->policy = bpf_map_lookup_elem(&tg_policies, &bank);
    out->nets = bpf_map_lookup_elem(&tg_nets, &bank);
    return out->policy && out->nets;
}

/* Also while a first policy is prepared and none is in force: it is filled in before `init` looks who listens already.
 */
static __always_inline bool is_captured_namespace(__u64 cookie)
{
    __u32 first = 0, second = 1;
    struct tg_policy *one = bpf_map_lookup_elem(&tg_policies, &first);
    struct tg_policy *other = bpf_map_lookup_elem(&tg_policies, &second);
    return (one && one->netns_cookie == cookie) || (other && other->netns_cookie == cookie);
}

static __always_inline bool flagged(const struct selected *s, enum tg_flag flag)
{
    return s->policy->flags & flag;
}

static __always_inline bool port_in(const struct selected *s, enum tg_port_set set, __u16 port)
{
    __u32 index = port;
    /* clang knows that 16 bits have 16 bits and drops the mask; verifiers before 6.8 forget every bound at a byte swap
     * and need to see it. */
    asm volatile("" : "+r"(index));
    index &= 0xffff;
    return s->policy->ports[set][index >> 6] >> (index & 63) & 1;
}

static __always_inline bool net_has(const struct selected *s, enum tg_kind kind, const __u32 address[4])
{
    struct tg_net_key key = {
        .prefixlen = 160,
        .kind = bpf_htonl(kind + address_is_v4(address) * TG_KIND_V4),
        .data = {address[0], address[1], address[2], address[3]},
    };
    return bpf_map_lookup_elem(s->nets, &key);
}

/* The trie also holds numbers: 32 bits of a key's data, or 64 for a pair. */
static __always_inline __u32 *number_find(const struct selected *s, enum tg_kind kind, __u32 first, __u32 second)
{
    struct tg_net_key key = {
        .prefixlen = 96,
        .kind = bpf_htonl(kind),
        .data = {bpf_htonl(first), bpf_htonl(second), 0, 0},
    };
    return bpf_map_lookup_elem(s->nets, &key);
}

/* The namespace's own addresses; loopback is one although only its prefix may be in the trie. */
static __always_inline bool is_own(const struct selected *s, const __u32 address[4])
{
    return address_is_loopback(address) || net_has(s, TG_OWN, address);
}

static __always_inline bool is_listener(const struct selected *s, __u16 port)
{
    const struct tg_policy *p = s->policy;
    return port == p->outbound_port || port == p->inbound_port || (p->dns_port && port == p->dns_port);
}

static __always_inline void count(enum tg_rule rule)
{
    __u32 key = rule;
    __u64 *counter = bpf_map_lookup_elem(&tg_counters, &key);
    if (counter)
        *counter += 1; /* this CPU's own, and hooks of one CPU do not interrupt each other within a run */
}

#endif
