#include "detect/memory.h"

#include "base/address.h"

static uint32_t place_of(const struct tg_memory *memory, uint32_t scope, const tg_address *destination)
{
    return (uint32_t)(address_hash(destination, memory->seed + scope) % TG_MEMORY_PLACES);
}

enum tg_spoken memory_recall(const struct tg_memory *memory, uint32_t scope, const tg_address *destination)
{
    const struct tg_remembered *place = &memory->places[place_of(memory, scope, destination)];
    return place->scope == scope && address_equal(&place->destination, destination) ? place->spoken : TG_SPOKEN_UNKNOWN;
}

void memory_keep(struct tg_memory *memory, uint32_t scope, const tg_address *destination, enum tg_spoken spoken)
{
    memory->places[place_of(memory, scope, destination)] =
        (struct tg_remembered){.destination = *destination, .scope = scope, .spoken = spoken};
}
