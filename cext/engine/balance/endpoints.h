/* All endpoint states, by group id. One that no cluster names any more, and of which nothing waits to be told, is freed
 * when there are twice as many states as after the last sweep. All functions under one mutex but endpoints_drop. */
#ifndef TG_ENDPOINTS_H
#define TG_ENDPOINTS_H

#include <stddef.h>
#include <stdint.h>

#include "balance/endpoint.h"

struct tg_endpoints {
    struct tg_newsroom room;
    unsigned workers;
    size_t count;
    size_t sweep_at;    /* how many there may be before the next sweep */
    size_t chain_count; /* a power of two, or none yet */
    struct tg_endpoint_state **chains;
};

/* The state of that group with one more reference, made when it is new. NULL: no memory. */
struct tg_endpoint_state *endpoints_take(struct tg_endpoints *endpoints, uint64_t group);
/* Gives a reference back. Any thread; the state is not touched any more. */
void endpoints_drop(struct tg_endpoint_state *state);
/* Frees the states that nothing refers to. */
void endpoints_sweep(struct tg_endpoints *endpoints);
/* The state of the group, without a reference; NULL: there is none. */
struct tg_endpoint_state *endpoints_find(const struct tg_endpoints *endpoints, uint64_t group);
void endpoints_destroy(struct tg_endpoints *endpoints);

#endif
