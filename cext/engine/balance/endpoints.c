#include "balance/endpoints.h"

#include <stdlib.h>

static struct tg_endpoint_state **chain_of(const struct tg_endpoints *endpoints, uint64_t group)
{
    return &endpoints->chains[(group * UINT64_C(0x9e3779b97f4a7c15)) >> 32 & (endpoints->chain_count - 1)];
}

/* False: no memory, and all is as before. */
static bool grow(struct tg_endpoints *endpoints)
{
    const struct tg_endpoints old = *endpoints;
    const size_t count = old.chain_count == 0 ? 64 : 4 * old.chain_count;
    struct tg_endpoint_state **chains = calloc(count, sizeof(struct tg_endpoint_state *));
    if (chains == NULL)
        return false;
    endpoints->chains = chains;
    endpoints->chain_count = count;
    for (size_t i = 0; i < old.chain_count; i++) {
        for (struct tg_endpoint_state *state = old.chains[i], *next; state != NULL; state = next) {
            next = state->next;
            struct tg_endpoint_state **chain = chain_of(endpoints, state->group);
            state->next = *chain;
            *chain = state;
        }
    }
    free(old.chains);
    return true;
}

struct tg_endpoint_state *endpoints_find(const struct tg_endpoints *endpoints, uint64_t group)
{
    struct tg_endpoint_state *state = endpoints->chain_count == 0 ? NULL : *chain_of(endpoints, group);
    while (state != NULL && state->group != group)
        state = state->next;
    return state;
}

struct tg_endpoint_state *endpoints_take(struct tg_endpoints *endpoints, uint64_t group)
{
    struct tg_endpoint_state *state = endpoints_find(endpoints, group);
    if (state == NULL) {
        if (endpoints->count >= endpoints->sweep_at) {
            endpoints_sweep(endpoints);
            endpoints->sweep_at = 2 * endpoints->count + 64;
        }
        if (endpoints->count >= endpoints->chain_count && !grow(endpoints))
            return NULL;
        state = endpoint_new(&endpoints->room, group, endpoints->workers);
        if (state == NULL)
            return NULL;
        struct tg_endpoint_state **chain = chain_of(endpoints, group);
        state->next = *chain;
        *chain = state;
        endpoints->count++;
    }
    atomic_fetch_add(&state->references, 1);
    return state;
}

void endpoints_drop(struct tg_endpoint_state *state)
{
    atomic_fetch_sub_explicit(&state->references, 1, memory_order_release);
}

void endpoints_sweep(struct tg_endpoints *endpoints)
{
    for (size_t i = 0; i < endpoints->chain_count; i++) {
        struct tg_endpoint_state **link = &endpoints->chains[i];
        while (*link != NULL) {
            struct tg_endpoint_state *state = *link;
            /* Nothing can refer to it anew but endpoints_take, which is under the same mutex. */
            if (atomic_load_explicit(&state->references, memory_order_acquire) != 0) {
                link = &state->next;
                continue;
            }
            *link = state->next;
            endpoints->count--;
            endpoint_free(state);
        }
    }
}

void endpoints_destroy(struct tg_endpoints *endpoints)
{
    for (size_t i = 0; i < endpoints->chain_count; i++) {
        for (struct tg_endpoint_state *state = endpoints->chains[i], *next; state != NULL; state = next) {
            next = state->next;
            endpoint_free(state);
        }
    }
    free(endpoints->chains);
}
