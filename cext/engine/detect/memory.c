#include "detect/memory.h"

#include "base/address.h"
#include "state.h"

static uint32_t place_of(const struct tg_memory *memory, uint32_t scope, const tg_address *destination)
{
    return (uint32_t)(address_hash(destination, memory->seed + scope) % TG_MEMORY_PLACES);
}

enum tg_spoken memory_recall(const struct tg_memory *memory, uint32_t scope, const tg_address *destination)
{
    const struct tg_remembered *place = &memory->places[place_of(memory, scope, destination)];
    return place->scope == scope && address_equal(&place->destination, destination) ? place->spoken : TG_SPOKEN_UNKNOWN;
}

void memory_init(struct tg_memory *memory, uint64_t seed)
{
    pthread_mutex_init(&memory->mutex, NULL);
    memory->seed = seed;
}

void memory_destroy(struct tg_memory *memory)
{
    pthread_mutex_destroy(&memory->mutex);
}

void memory_keep(struct tg_memory *memory, uint32_t scope, const tg_address *destination, enum tg_spoken spoken)
{
    if (memory_recall(memory, scope, destination) == spoken)
        return; /* as nearly always: no lock */
    pthread_mutex_lock(&memory->mutex);
    memory->places[place_of(memory, scope, destination)] =
        (struct tg_remembered){.destination = *destination, .scope = scope, .spoken = spoken};
    pthread_mutex_unlock(&memory->mutex);
}

int tg_engine_remembered(tg_engine *engine, uint32_t scope, const tg_address *destination)
{
    enum tg_spoken spoken = TG_SPOKEN_UNKNOWN;
    for (unsigned i = 0; i < engine->worker_count && spoken == TG_SPOKEN_UNKNOWN; i++) {
        struct tg_memory *memory = &engine->workers[i].memory;
        pthread_mutex_lock(&memory->mutex);
        spoken = memory_recall(memory, scope, destination);
        pthread_mutex_unlock(&memory->mutex);
    }
    return (int)spoken;
}
