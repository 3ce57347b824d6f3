/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * The direct lane's decision: which endpoint of a service a connection goes to, or that it may not go there. No proxy,
 * no NAT: connect() itself is given the endpoint's address.
 */
#ifndef TIDEGATE_BALANCE_H
#define TIDEGATE_BALANCE_H

#include "direct/maps.h"
#include "outbound.h"

enum balance { TG_NO_SERVICE, TG_CHOSEN, TG_TURNED_AWAY };

/* direct_layout.py's bank_number: Knuth's multiplicative hash, its upper bits. */
static __always_inline __u32 bank_number(const struct tg_host_port *asked)
{
    __u32 mixed = asked->address[0] ^ asked->address[1] ^ asked->address[2] ^ asked->address[3] ^ asked->port;
    return mixed * 2654435761u / (0x80000000u / (TG_BANKS / 2));
}

static __always_inline const struct tg_service *service_asked_for(const struct dial *d)
{
    struct tg_host_port asked = {.port = d->port};
    __builtin_memcpy(asked.address, d->address, sizeof(asked.address));
    __u32 number = bank_number(&asked);
    void *bank = bpf_map_lookup_elem(&tg_services, &number);
    return bank ? bpf_map_lookup_elem(bank, &asked) : 0;
}

/* Takes a ticket, and a token where there is a limit. A limit is kept by one number, the time when the next connection
 * would be due: it moves on by an interval each, and may be ahead of now by a burst's worth. False: it is further. What
 * another limit has left is void. */
static __always_inline bool admit(const struct tg_service *service, struct tg_service_state *state, __u64 *ticket)
{
    __u64 now = bpf_ktime_get_ns();
    __u64 interval = service->interval_ns, credit = service->credit_ns;
    bool admitted = true;

    bpf_spin_lock(&state->lock);
    __u64 due = state->due > now && state->interval_ns == interval ? state->due : now;
    state->interval_ns = interval;
    if (due - now > credit)
        admitted = false;
    else
        state->due = due + interval;
    *ticket = state->ticket;
    state->ticket += admitted;
    bpf_spin_unlock(&state->lock);
    return admitted;
}

/* 1 where one < other, without a jump: see is_zero. */
static __always_inline __u64 is_less(__u32 one, __u32 other)
{
    __u64 difference = (__u64)one - other;
    asm volatile("" : "+r"(difference));
    return difference >> 63;
}

/* The endpoint whose share of 0..total-1 `position` lies in. */
static __always_inline __u32 endpoint_at(const struct tg_service *service, __u32 position)
{
    __u64 index = 0;
#pragma unroll
    for (__u32 step = TG_ENDPOINTS / 2; step; step >>= 1)
        index += step * (1 - is_less(position, service->ends[(index + step - 1) & (TG_ENDPOINTS - 1)]));
    return index & (TG_ENDPOINTS - 1);
}

static __always_inline void choose(const struct tg_service *service, __u64 ticket, struct tg_host_port *to)
{
    __u64 total = service->total, position;
    if (service->flags & TG_SERVICE_ROUND_ROBIN)
        position = ticket % total * service->stride % total;
    else
        position = bpf_get_prandom_u32() * total >> 32;
    *to = service->endpoints[endpoint_at(service, position)];
}

static __always_inline __u32 host_port_differs(const struct tg_host_port *one, const struct tg_host_port *other)
{
    return (one->address[0] ^ other->address[0]) | (one->address[1] ^ other->address[1]) |
           (one->address[2] ^ other->address[2]) | (one->address[3] ^ other->address[3]) | (one->port ^ other->port);
}

/* Whether it still is one of the service's. All are looked at, without a jump: each would be another path to verify. */
static __always_inline bool offers(const struct tg_service *service, const struct tg_host_port *endpoint)
{
    __u32 found = 0;
    for (__u32 i = 0; i < TG_ENDPOINTS; i++)
        found |= is_zero(host_port_differs(&service->endpoints[i], endpoint));
    return found;
}

/* Only an address of the namespace's own makes a client of its own: any program may bind thousands of others (127/8,
 * IP_FREEBIND), and would take the places of all other clients. */
static __always_inline bool is_client_address(const struct selected *s, const __u32 source[4])
{
    return !address_is_loopback(source) && net_has(s, TG_OWN, source);
}

static __always_inline void choose_for_client(const struct selected *s, const struct tg_service *service,
                                              const struct dial *d, __u64 ticket, struct tg_host_port *to)
{
    struct tg_client client = {.service = service->id};
    struct tg_kept now_kept = {.used = bpf_ktime_get_ns()};
    if (is_client_address(s, d->source))
        __builtin_memcpy(client.address, d->source, sizeof(client.address));
    struct tg_kept *kept = bpf_map_lookup_elem(&tg_affinity, &client);
    if (kept && now_kept.used - kept->used < service->affinity_ns) {
        *to = kept->endpoint;
        if (offers(service, to)) {
            kept->used = now_kept.used;
            return;
        }
    }
    choose(service, ticket, to);
    now_kept.endpoint = *to;
    bpf_map_update_elem(&tg_affinity, &client, &now_kept, BPF_ANY);
}

static __always_inline enum balance turned_away(__u64 *counter)
{
    __sync_fetch_and_add(counter, 1);
    return TG_TURNED_AWAY;
}

/* TG_NO_SERVICE: the direct lane knows nothing of this destination. TG_CHOSEN: go `to` there. */
static __always_inline enum balance balance(const struct selected *s, struct bpf_sock *sk, const struct dial *d,
                                            struct tg_host_port *to)
{
    const struct tg_service *service = service_asked_for(d);
    if (!service)
        return TG_NO_SERVICE;
    __u32 id = service->id;
    struct tg_service_state *state = bpf_map_lookup_elem(&tg_service_states, &id);
    if (!state)
        return TG_NO_SERVICE;
    if (service->flags & TG_SERVICE_DENIED)
        return turned_away(&state->denied);
    if (!service->count)
        return turned_away(&state->unserved);
    __u64 ticket = 0;
    if (service->flags & (TG_SERVICE_ROUND_ROBIN | TG_SERVICE_LIMITED) && !admit(service, state, &ticket))
        return turned_away(&state->limited);
    if (service->flags & TG_SERVICE_AFFINE)
        choose_for_client(s, service, d, ticket, to);
    else
        choose(service, ticket, to);
    struct tg_balanced *balanced = bpf_sk_storage_get(&tg_balanced_as, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
    if (!balanced)
        return TG_NO_SERVICE; /* out of memory: the proxy can still count it */
    __builtin_memset(balanced, 0, sizeof(*balanced));
    balanced->member.service = id;
    balanced->member.endpoint = *to;
    __builtin_memcpy(balanced->wanted.address, d->address, sizeof(balanced->wanted.address));
    balanced->wanted.port = d->port;
    balanced->syn = 1;
    return TG_CHOSEN;
}

#endif
