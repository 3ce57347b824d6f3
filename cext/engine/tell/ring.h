/* Records on their way from one worker to the collector: a ring of bytes with one writer and one reader. Each record
 * begins with its size, a multiple of 8. */
#ifndef TG_RING_H
#define TG_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RING_SIZE = 2 * 1024 * 1024 };

struct tg_ring {
    _Atomic(char *) bytes;    /* NULL: no record was ever wanted */
    _Atomic uint64_t written; /* by the writer; both only grow */
    _Atomic uint64_t taken;   /* by the reader */
    _Atomic uint64_t dropped;
};

/* Gives it memory, once. Any one thread at a time. -ENOMEM. */
int ring_open(struct tg_ring *ring);
void ring_close(struct tg_ring *ring); /* no thread may be using it */

/* Writer: room for a record of `size` bytes in one piece; NULL: it is full (or not open), and one more was dropped. */
void *ring_reserve(struct tg_ring *ring, uint32_t size);
void ring_commit(struct tg_ring *ring, uint32_t size); /* the record is whole */

/* Reader: the oldest record, or NULL; and it is done with. */
const void *ring_first(struct tg_ring *ring);
void ring_take(struct tg_ring *ring);
bool ring_is_empty(const struct tg_ring *ring);

#endif
