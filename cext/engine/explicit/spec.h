/* What the caller is asked about requests to an explicit proxy: where their authorities are. The part between the marks
 * is read by cffi, behind that of engine.h. */
#ifndef TG_EXPLICIT_SPEC_H
#define TG_EXPLICIT_SPEC_H

#include <stdint.h>

#include "engine.h"

/* cdef:begin */
#define TG_LONGEST_AUTHORITY 320 /* bytes of a request's authority; a longer one is answered 400 */
#define TG_MAX_FOUND 8
#define TG_LONGEST_REASON 160

/* One connection waits for the answer. */
typedef struct {
    uint64_t handle; /* this and the next one: come back in the answer */
    uint32_t number;
    uint16_t length;
    uint16_t default_port; /* where the authority names none; 0: it has to */
    tg_address peer;       /* the client; family 0: it has come through another listener of ours */
    char authority[320];
} tg_lookup;

/* The answer. With a status the request is answered by it, with the text, and goes nowhere. */
typedef struct {
    uint64_t handle;
    uint32_t number;
    int32_t status;    /* 0: it goes to the first of the addresses that takes the connection */
    uint32_t flag;     /* enum tg_exchange_flag, with a status */
    uint32_t count;    /* of the addresses: 1 to TG_MAX_FOUND without a status */
    uint32_t lasts_ms; /* for how long it holds for requests to the same authority on the same connection */
    uint32_t unused;
    tg_address addresses[8];
    char text[160]; /* NUL-terminated, one line, for people */
} tg_found;

/* An eventfd, owned by the engine: readable while questions wait. Watch it, never read or close it. */
int tg_engine_lookup_fd(const tg_engine *engine);

/* Moves up to `max` questions into `out` and returns how many. Each is to be answered once; that its connection has
 * ended meanwhile does no harm. */
int tg_engine_lookups(tg_engine *engine, tg_lookup *out, int max);

/* Answers one. Copied. -EINVAL: no address and no status; -ENOENT: no such worker; -ENOMEM, -ESHUTDOWN. */
int tg_engine_found(tg_engine *engine, const tg_found *found);
/* cdef:end */

#endif
