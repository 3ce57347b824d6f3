#include "relay/registry.h"

#include <errno.h>
#include <stdlib.h>

/* Bit 63 of a handle is left to TG_ACCEPTED. */
enum { GENERATIONS = 0x7fffffff };

static uint32_t handle_generation(uint64_t handle)
{
    return (uint32_t)(handle >> 32);
}

static uint32_t handle_slot(uint64_t handle)
{
    return (uint32_t)(handle >> 8) & 0xffffff;
}

int registry_init(struct tg_registry *registry, size_t capacity)
{
    registry->chunk_limit = (uint32_t)((capacity + TG_CHUNK - 1) / TG_CHUNK);
    registry->chunks = calloc(registry->chunk_limit, sizeof *registry->chunks);
    if (registry->chunks == NULL)
        return -ENOMEM;
    const int error = pthread_mutex_init(&registry->mutex, NULL);
    if (error != 0) {
        free(registry->chunks);
        registry->chunks = NULL;
    }
    return -error;
}

void registry_destroy(struct tg_registry *registry)
{
    if (registry->chunks == NULL)
        return;
    for (uint32_t i = 0; i < registry->chunk_limit; i++)
        free(atomic_load(&registry->chunks[i]));
    free(registry->chunks);
    pthread_mutex_destroy(&registry->mutex);
}

struct tg_slot *registry_slot(struct tg_registry *registry, uint32_t index)
{
    struct tg_slot *chunk = atomic_load_explicit(&registry->chunks[index / TG_CHUNK], memory_order_acquire);
    return chunk == NULL ? NULL : &chunk[index % TG_CHUNK];
}

/* Under the mutex: a free slot's index, or -errno. */
static int64_t take_slot(struct tg_registry *registry)
{
    if (registry->free != 0) {
        const uint32_t index = registry->free - 1;
        registry->free = registry_slot(registry, index)->next_free;
        return index;
    }
    if (registry->used == registry->chunk_limit * TG_CHUNK)
        return -ENOBUFS;
    if (registry->used % TG_CHUNK == 0) {
        struct tg_slot *chunk = calloc(TG_CHUNK, sizeof *chunk);
        if (chunk == NULL)
            return -ENOMEM;
        atomic_store_explicit(&registry->chunks[registry->used / TG_CHUNK], chunk, memory_order_release);
    }
    return registry->used++;
}

int registry_add(struct tg_registry *registry, struct tg_relay *relay, uint8_t worker)
{
    pthread_mutex_lock(&registry->mutex);
    const int64_t index = take_slot(registry);
    if (index >= 0) {
        struct tg_slot *slot = registry_slot(registry, (uint32_t)index);
        const uint32_t generation = atomic_load_explicit(&slot->generation, memory_order_relaxed);
        slot->relay = relay;
        relay->handle = (uint64_t)generation << 32 | (uint64_t)index << 8 | worker;
        if (relay->connection != NULL)
            relay->id = TG_ACCEPTED | relay->handle;
    }
    pthread_mutex_unlock(&registry->mutex);
    return index < 0 ? (int)index : 0;
}

static void unlink_request(struct tg_relay *relay)
{
    if (relay->request_link == NULL)
        return;
    *relay->request_link = relay->request_next;
    if (relay->request_next != NULL)
        relay->request_next->request_link = relay->request_link;
    relay->request_link = NULL;
}

void registry_remove(struct tg_registry *registry, struct tg_relay *relay)
{
    const uint32_t index = handle_slot(relay->handle);
    pthread_mutex_lock(&registry->mutex);
    struct tg_slot *slot = registry_slot(registry, index);
    slot->relay = NULL;
    atomic_store_explicit(&slot->generation, (handle_generation(relay->handle) + 1) & GENERATIONS,
                          memory_order_relaxed);
    slot->next_free = registry->free;
    registry->free = index + 1;
    unlink_request(relay);
    pthread_mutex_unlock(&registry->mutex);
}

struct tg_relay *registry_find(struct tg_registry *registry, uint64_t handle)
{
    struct tg_slot *slot = registry_slot(registry, handle_slot(handle));
    if (slot == NULL || atomic_load_explicit(&slot->generation, memory_order_relaxed) != handle_generation(handle))
        return NULL;
    /* The generation is this handle's, and only this worker ends it: the relay was set before the handle came to us. */
    return slot->relay;
}

int registry_request(struct tg_registry *registry, uint64_t handle, enum tg_request what)
{
    const uint32_t index = handle_slot(handle);
    int result = -ENOENT;
    pthread_mutex_lock(&registry->mutex);
    if (index < registry->used) {
        const struct tg_slot *slot = registry_slot(registry, index);
        struct tg_relay *relay = slot->relay;
        if (relay != NULL && relay->handle == handle) {
            result = 0;
            if (what > relay->requested)
                relay->requested = what;
            if (relay->request_link == NULL) {
                relay->request_next = registry->requests;
                relay->request_link = &registry->requests;
                if (registry->requests != NULL)
                    registry->requests->request_link = &relay->request_next;
                registry->requests = relay;
            }
        }
    }
    pthread_mutex_unlock(&registry->mutex);
    return result;
}

struct tg_relay *registry_next_request(struct tg_registry *registry, enum tg_request *what)
{
    pthread_mutex_lock(&registry->mutex);
    struct tg_relay *relay = registry->requests;
    if (relay != NULL) {
        *what = relay->requested;
        unlink_request(relay);
    }
    pthread_mutex_unlock(&registry->mutex);
    return relay;
}
