/* What destinations were last heard to speak. Each worker remembers for itself, in a table of fixed size in which a
 * destination drives out the one that had its place. Only the worker writes there, with the lock held; it reads without
 * the lock, and any other thread takes it. */
#ifndef TG_MEMORY_H
#define TG_MEMORY_H

#include <pthread.h>
#include <stdint.h>

#include "engine.h"

enum { TG_MEMORY_PLACES = 1024 };

struct tg_memory {
    pthread_mutex_t mutex;
    uint64_t seed;
    struct tg_remembered {
        tg_address destination;
        uint32_t scope;
        uint32_t spoken; /* enum tg_spoken; TG_SPOKEN_UNKNOWN: nothing is known */
    } places[TG_MEMORY_PLACES];
};

/* For the worker itself. TG_SPOKEN_UNKNOWN: nothing is remembered. */
enum tg_spoken memory_recall(const struct tg_memory *memory, uint32_t scope, const tg_address *destination);

void memory_init(struct tg_memory *memory, uint64_t seed);
void memory_destroy(struct tg_memory *memory);

/* The latest connection is right about its destination, whatever was remembered. */
void memory_keep(struct tg_memory *memory, uint32_t scope, const tg_address *destination, enum tg_spoken spoken);

#endif
