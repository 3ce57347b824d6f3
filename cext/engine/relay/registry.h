/* Stable, generation-checked names (handles) for the relays of one worker: generation << 32 | slot << 8 | worker. */
#ifndef TG_REGISTRY_H
#define TG_REGISTRY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/relay.h"

#define TG_CHUNK 1024
#define TG_ACCEPTED (UINT64_C(1) << 63) /* in the ids of accepted connections */

struct tg_slot {
    _Atomic uint32_t generation; /* of the present or, when free, of the next owner */
    uint32_t next_free;
    struct tg_relay *relay;
};

/* Slots never move, so the worker resolves handles of its own without the mutex; everybody else, and every change,
 * takes it. */
struct tg_registry {
    pthread_mutex_t mutex;
    _Atomic(struct tg_slot *) *chunks;
    uint32_t chunk_limit;
    uint32_t used; /* slots ever used */
    uint32_t free; /* index + 1 of the first free slot; 0: none */
    struct tg_relay *requests;
};

int registry_init(struct tg_registry *registry, size_t capacity);
void registry_destroy(struct tg_registry *registry);
/* Names the relay (relay->handle). -ENOMEM, -ENOBUFS. */
int registry_add(struct tg_registry *registry, struct tg_relay *relay, uint8_t worker);
void registry_remove(struct tg_registry *registry, struct tg_relay *relay);
/* For the owning worker only. NULL: the relay is over. */
struct tg_relay *registry_find(struct tg_registry *registry, uint64_t handle);
struct tg_slot *registry_slot(struct tg_registry *registry, uint32_t index);
/* Notes what is asked of the relay; the caller wakes the worker. -ENOENT. */
int registry_request(struct tg_registry *registry, uint64_t handle, enum tg_request what);
/* For the owning worker: one relay of which something is asked, and what; or NULL. */
struct tg_relay *registry_next_request(struct tg_registry *registry, enum tg_request *what);

#endif
