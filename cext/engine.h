/* The engine's whole interface. The part between the two cdef marks is also the text that cffi parses
 * (cext/build_engine.py): declarations only, and no preprocessor but #define of integers.
 *
 * Conventions: a function that can fail returns 0 (or a count) and -errno on failure. Descriptors are consumed on
 * success only. All functions may be called from any thread, except that tg_engine_free must be the last call. Nothing
 * calls back: what happened is read with tg_engine_completions when the completion descriptor is readable. */
#ifndef TG_ENGINE_H
#define TG_ENGINE_H

#include <stddef.h>
#include <stdint.h>

/* cdef:begin */
#define TG_MAX_WORKERS 64
#define TG_MAX_CAPACITY 16777216

enum tg_reason {
    TG_FINISHED = 0,         /* both sides closed cleanly and everything was delivered */
    TG_DOWNSTREAM_RESET = 1, /* the client side failed; `error` says how */
    TG_UPSTREAM_RESET = 2,   /* the server side failed */
    TG_IDLE_TIMEOUT = 3,     /* no byte delivered either way for idle_timeout_ms */
    TG_LIFETIME = 4,         /* lifetime_ms are over */
    TG_ABORTED = 5,          /* tg_engine_abort, or the engine was stopped */
    TG_INTERNAL_ERROR = 6    /* the kernel refused something that the relay needs; `error` says what */
};

typedef struct tg_engine tg_engine;

typedef struct {
    int downstream_fd;
    int upstream_fd;
    const void *early_downstream; /* bytes already read from downstream, owed to upstream; copied */
    size_t early_downstream_len;
    const void *early_upstream; /* bytes already read from upstream, owed to downstream; copied */
    size_t early_upstream_len;
    uint64_t idle_timeout_ms; /* 0: none */
    uint64_t lifetime_ms;     /* 0: none */
    uint32_t keepalive_s;     /* 0: leave the sockets' own keepalive settings alone */
} tg_relay_request;

typedef struct {
    uint64_t id;
    uint64_t bytes_sent;     /* delivered to upstream's socket */
    uint64_t bytes_received; /* delivered to downstream's socket */
    int64_t duration_us;
    int32_t reason; /* enum tg_reason */
    int32_t error;  /* errno, or 0 */
} tg_completion;

typedef struct {
    uint64_t id;
    uint64_t bytes_sent;
    uint64_t bytes_received;
    int64_t age_ms;
    int64_t idle_ms;
} tg_live;

typedef struct {
    uint64_t bytes_sent; /* since the engine started, live relays included */
    uint64_t bytes_received;
    uint64_t active;
    uint64_t completed;
    uint64_t spliced_bytes; /* the part of both that went through a pipe and never through user space */
} tg_totals;

/* Starts `threads` workers. -EINVAL out of range, -ENOMEM, -EMFILE, -EAGAIN when a thread can't be had. */
int tg_engine_new(unsigned threads, size_t capacity, tg_engine **engine);

/* An eventfd, owned by the engine: readable while completions wait. Watch it, never read or close it. */
int tg_engine_completion_fd(const tg_engine *engine);

/* Takes both sockets over (on success only) and relays until both directions have ended. `id` is the caller's and comes
 * back in the completion; `handle` names the relay in tg_engine_abort. -ENOBUFS: `capacity` relays are live or wait to
 * be collected. -EBADF, -EINVAL (both the same descriptor), -ENOMEM, -ESHUTDOWN (stopped). On failure O_NONBLOCK may
 * already be set on the sockets. */
int tg_engine_relay(tg_engine *engine, uint64_t id, const tg_relay_request *request, uint64_t *handle);

/* Resets both sides of a relay, soon. -ENOENT: it is over already. */
int tg_engine_abort(tg_engine *engine, uint64_t handle);

/* Moves up to `max` completions into `out` and returns how many; in the order in which the relays of one worker ended.
 */
int tg_engine_completions(tg_engine *engine, tg_completion *out, int max);

/* A walk over live relays: begin with *cursor = 0, call until it returns 0. Relays that begin or end during the walk
 * may or may not be seen. */
int tg_engine_live(tg_engine *engine, uint64_t *cursor, tg_live *out, int max);

void tg_engine_totals(tg_engine *engine, tg_totals *out);

/* Resets what is left, joins the threads, closes every descriptor; idempotent. Completions can still be collected, in
 * the order and with the limits as before, only without a descriptor to watch. */
void tg_engine_stop(tg_engine *engine);

/* Stops, and frees everything, uncollected completions included. */
void tg_engine_free(tg_engine *engine);
/* cdef:end */

#endif
