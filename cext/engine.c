/* The engine as its callers see it. */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "internal.h"

int tg_engine_new(unsigned threads, size_t capacity, tg_engine **out)
{
    int error = -ENOMEM;
    if (threads == 0 || threads > TG_MAX_WORKERS || capacity == 0 || capacity > TG_MAX_CAPACITY)
        return -EINVAL;
    struct tg_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return -ENOMEM;
    engine->capacity = capacity;
    pthread_mutex_init(&engine->submitting, NULL);
    pthread_mutex_init(&engine->collecting, NULL);
    engine->completion_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (engine->completion_fd < 0) {
        error = -errno;
        goto fail;
    }
    engine->workers = calloc(threads, sizeof *engine->workers);
    if (engine->workers == NULL)
        goto fail;
    for (; engine->worker_count < threads; engine->worker_count++) {
        struct tg_worker *worker = &engine->workers[engine->worker_count];
        error = worker_init(worker, engine, (uint8_t)engine->worker_count, capacity);
        if (error == 0)
            error = worker_start(worker);
        if (error < 0) {
            worker_release(worker);
            registry_destroy(&worker->registry);
            goto fail;
        }
    }
    *out = engine;
    return 0;
fail:
    tg_engine_free(engine);
    return error;
}

int tg_engine_completion_fd(const tg_engine *engine)
{
    return engine->completion_fd;
}

static struct tg_worker *least_busy(struct tg_engine *engine)
{
    struct tg_worker *best = &engine->workers[0];
    for (unsigned i = 1; i < engine->worker_count; i++)
        if (counter_read(&engine->workers[i].active) < counter_read(&best->active))
            best = &engine->workers[i];
    return best;
}

static int set_nonblocking(int fd)
{
    const int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    if ((flags & O_NONBLOCK) == 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

static void relay_free(struct tg_relay *relay)
{
    free(relay->direction[DOWNSTREAM].buffer);
    free(relay->direction[UPSTREAM].buffer);
    free(relay);
}

/* A relay in the making: owns its early bytes, not yet its descriptors. */
static int relay_new(uint64_t id, const tg_relay_request *request, struct tg_relay **out)
{
    const void *early[2] = {request->early_downstream, request->early_upstream};
    const size_t lengths[2] = {request->early_downstream_len, request->early_upstream_len};
    struct tg_relay *relay = calloc(1, sizeof *relay);
    if (relay == NULL)
        return -ENOMEM;
    for (int side = DOWNSTREAM; side <= UPSTREAM; side++) {
        if (lengths[side] > 0) {
            relay->direction[side].buffer = buffer_of(early[side], lengths[side]);
            if (relay->direction[side].buffer == NULL) {
                relay_free(relay);
                return -ENOMEM;
            }
        }
    }
    relay->id = id;
    relay->side[DOWNSTREAM].fd = request->downstream_fd;
    relay->side[UPSTREAM].fd = request->upstream_fd;
    relay->idle_timeout_ms = request->idle_timeout_ms;
    relay->lifetime_ms = request->lifetime_ms;
    relay->keepalive_s = request->keepalive_s;
    relay->started_us = clock_us();
    atomic_init(&relay->active_ms, relay->started_us / 1000);
    *out = relay;
    return 0;
}

static int submit(struct tg_engine *engine, struct tg_relay *relay, uint64_t *handle)
{
    int error = -ESHUTDOWN;
    pthread_mutex_lock(&engine->submitting);
    if (!atomic_load(&engine->stopping)) {
        struct tg_worker *worker = least_busy(engine);
        error = registry_add(&worker->registry, relay, worker->index);
        if (error == 0) {
            /* The relay is the worker's from the push on. */
            *handle = relay->handle;
            atomic_fetch_add_explicit(&worker->active, 1, memory_order_relaxed);
            if (mailbox_push(&worker->mailbox, &relay->node, &relay->node))
                worker_wake(worker);
        }
    }
    pthread_mutex_unlock(&engine->submitting);
    return error;
}

int tg_engine_relay(tg_engine *engine, uint64_t id, const tg_relay_request *request, uint64_t *handle)
{
    struct tg_relay *relay;
    int error;
    if (request->downstream_fd == request->upstream_fd)
        return -EINVAL;
    if ((error = set_nonblocking(request->downstream_fd)) < 0 || (error = set_nonblocking(request->upstream_fd)) < 0)
        return error;
    if (atomic_fetch_add(&engine->outstanding, 1) >= engine->capacity) {
        atomic_fetch_sub(&engine->outstanding, 1);
        return -ENOBUFS;
    }
    error = relay_new(id, request, &relay);
    if (error == 0) {
        error = submit(engine, relay, handle);
        if (error < 0)
            relay_free(relay);
    }
    if (error < 0)
        atomic_fetch_sub(&engine->outstanding, 1);
    return error;
}

int tg_engine_abort(tg_engine *engine, uint64_t handle)
{
    const unsigned index = (unsigned)(handle & 0xff);
    if (index >= engine->worker_count)
        return -ENOENT;
    struct tg_worker *worker = &engine->workers[index];
    int error = -ENOENT;
    pthread_mutex_lock(&engine->submitting);
    if (!atomic_load(&engine->stopping))
        error = registry_request_abort(&worker->registry, handle);
    if (error == 0)
        worker_wake(worker);
    pthread_mutex_unlock(&engine->submitting);
    return error;
}

static void signal_completions(struct tg_engine *engine)
{
    const uint64_t one = 1;
    if (!atomic_exchange(&engine->signalled, true))
        (void)!write(engine->completion_fd, &one, sizeof one);
}

void engine_publish(struct tg_engine *engine, struct tg_node *first, struct tg_node *last)
{
    mailbox_push(&engine->completions, first, last);
    signal_completions(engine);
}

/* Under `collecting`: the next ended relay, or NULL. */
static struct tg_relay *next_ended(struct tg_engine *engine)
{
    if (engine->collected == NULL)
        engine->collected = mailbox_take(&engine->completions);
    struct tg_node *node = engine->collected;
    if (node != NULL)
        engine->collected = node->next;
    return (struct tg_relay *)node;
}

int tg_engine_completions(tg_engine *engine, tg_completion *out, int max)
{
    uint64_t ignored;
    int count = 0;
    pthread_mutex_lock(&engine->collecting);
    /* First the signal, then the queue: what is published after our last look signals again. */
    (void)!read(engine->completion_fd, &ignored, sizeof ignored);
    atomic_store(&engine->signalled, false);
    for (struct tg_relay *relay; count < max && (relay = next_ended(engine)) != NULL; count++) {
        out[count] = (tg_completion){
            .id = relay->id,
            .bytes_sent = counter_read(&relay->direction[DOWNSTREAM].bytes),
            .bytes_received = counter_read(&relay->direction[UPSTREAM].bytes),
            .duration_us = (int64_t)(relay->ended_us - relay->started_us),
            .reason = relay->reason,
            .error = relay->error,
        };
        relay_free(relay);
        atomic_fetch_sub(&engine->outstanding, 1);
    }
    if (engine->collected != NULL || atomic_load(&engine->completions.top) != NULL)
        signal_completions(engine);
    pthread_mutex_unlock(&engine->collecting);
    return count;
}

static void describe(const struct tg_relay *relay, uint64_t now_us, tg_live *out)
{
    const uint64_t now_ms = now_us / 1000;
    const uint64_t active_ms = counter_read(&relay->active_ms);
    *out = (tg_live){
        .id = relay->id,
        .bytes_sent = counter_read(&relay->direction[DOWNSTREAM].bytes),
        .bytes_received = counter_read(&relay->direction[UPSTREAM].bytes),
        .age_ms = (int64_t)((now_us - relay->started_us) / 1000),
        .idle_ms = now_ms > active_ms ? (int64_t)(now_ms - active_ms) : 0,
    };
}

int tg_engine_live(tg_engine *engine, uint64_t *cursor, tg_live *out, int max)
{
    /* The cursor is worker << 32 | slot. Slots keep their place, so nobody is seen twice or missed for another's coming
     * or going. */
    const uint64_t now_us = clock_us();
    int count = 0;
    while (count < max && *cursor >> 32 < engine->worker_count) {
        struct tg_registry *registry = &engine->workers[*cursor >> 32].registry;
        uint32_t index = (uint32_t)*cursor;
        /* A chunk at a time: a worker that must add or remove meanwhile waits for microseconds only. */
        pthread_mutex_lock(&registry->mutex);
        const uint32_t end = registry->used - index > TG_CHUNK ? index + TG_CHUNK : registry->used;
        for (; index < end && count < max; index++) {
            const struct tg_relay *relay = registry_slot(registry, index)->relay;
            if (relay != NULL)
                describe(relay, now_us, &out[count++]);
        }
        const bool over = index >= registry->used;
        pthread_mutex_unlock(&registry->mutex);
        *cursor = over ? ((*cursor >> 32) + 1) << 32 : (*cursor & ~UINT64_C(0xffffffff)) | index;
    }
    return count;
}

void tg_engine_totals(tg_engine *engine, tg_totals *out)
{
    *out = (tg_totals){0};
    for (unsigned i = 0; i < engine->worker_count; i++) {
        const struct tg_worker *worker = &engine->workers[i];
        out->bytes_sent += counter_read(&worker->bytes[DOWNSTREAM]);
        out->bytes_received += counter_read(&worker->bytes[UPSTREAM]);
        out->spliced_bytes += counter_read(&worker->spliced);
        out->active += counter_read(&worker->active);
        out->completed += counter_read(&worker->completed);
    }
}

void tg_engine_stop(tg_engine *engine)
{
    pthread_mutex_lock(&engine->submitting);
    atomic_store(&engine->stopping, true);
    if (!engine->joined) {
        for (unsigned i = 0; i < engine->worker_count; i++)
            worker_wake(&engine->workers[i]);
        for (unsigned i = 0; i < engine->worker_count; i++)
            pthread_join(engine->workers[i].thread, NULL);
        for (unsigned i = 0; i < engine->worker_count; i++)
            worker_release(&engine->workers[i]);
        pthread_mutex_lock(&engine->collecting);
        if (engine->completion_fd >= 0)
            close(engine->completion_fd);
        engine->completion_fd = -1;
        pthread_mutex_unlock(&engine->collecting);
        engine->joined = true;
    }
    pthread_mutex_unlock(&engine->submitting);
}

void tg_engine_free(tg_engine *engine)
{
    tg_engine_stop(engine);
    for (struct tg_relay *relay; (relay = next_ended(engine)) != NULL;)
        relay_free(relay);
    for (unsigned i = 0; i < engine->worker_count; i++)
        registry_destroy(&engine->workers[i].registry);
    free(engine->workers);
    pthread_mutex_destroy(&engine->submitting);
    pthread_mutex_destroy(&engine->collecting);
    free(engine);
}
