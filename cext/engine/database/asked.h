/* What is remembered of a connection to a database: where each side is in its messages, and which requests wait for
 * their answers. Of a message, at most its first FOLLOW_HEAD bytes are looked at, and nothing of it is kept beyond the
 * message itself but a number for its kind and when it came. */
#ifndef TG_DATABASE_ASKED_H
#define TG_DATABASE_ASKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ends.h"
#include "database/kinds.h"

enum { FOLLOW_HEAD = 64, FOLLOW_PENDING = 256 };

struct follow_told {
    uint16_t kind;
    bool failed;
    uint64_t us; /* from the request to its answer: the whole of it in Redis and PostgreSQL, its begin in MySQL */
};

typedef void (*follow_tell)(void *context, const struct follow_told *told);

struct follow_side {
    uint64_t skip; /* bytes of the message under way that nobody looks at */
    uint64_t left; /* Redis: values that are missing in the request or answer under way */
    uint64_t size; /* Redis: of the name that comes next */
    uint32_t have; /* bytes of head */
    uint32_t state;
    uint8_t head[FOLLOW_HEAD];
    bool failed;
    bool pushed; /* Redis: what is under way answers nothing */
};

struct follow_asked {
    uint64_t at_us;
    uint16_t kind;
    uint8_t mark; /* PostgreSQL: how its answer ends */
    bool failed;
};

struct follow {
    enum database database;
    struct follow_side side[2];
    uint32_t first; /* of asked: a ring */
    uint32_t count;
    uint64_t unnoted; /* that came when the ring was full: their answers are awaited and not told */
    struct follow_asked asked[FOLLOW_PENDING];
};

/* False: too many wait, and this one has a mark, so it would have to be remembered. */
bool follow_ask(struct follow *follow, uint16_t kind, uint8_t mark, uint64_t now_us);

struct follow_asked *follow_oldest(struct follow *follow); /* NULL: none waits */
void follow_answer(struct follow *follow, bool failed, uint64_t now_us, follow_tell tell, void *context);
void follow_drop(struct follow *follow); /* the oldest is answered by nothing that is told */

struct follow_place {
    struct follow *follow;
    int from;
    uint64_t now_us;
    follow_tell tell;
    void *context;
};

/* A message's head has been looked at, and is forgotten. */
void follow_forget(struct follow_side *side);

/* Copies bytes until the head has `wanted` of them (at most FOLLOW_HEAD). Returns how many it took. */
size_t follow_collect(struct follow_side *side, size_t wanted, const uint8_t *bytes, size_t length);

static inline uint32_t follow_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

#endif
