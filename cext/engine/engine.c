/* The engine as its callers see it. */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "accept/listeners.h"
#include "base/address.h"
#include "base/clock.h"
#include "base/counter.h"
#include "capacity.h"
#include "loop.h"
#include "tell/exchanges.h"
#include "tell/queues.h"

int tg_engine_new(unsigned threads, size_t capacity, tg_engine **out)
{
    int error = -ENOMEM;
    if (threads == 0 || threads > TG_MAX_WORKERS || capacity == 0 || capacity > TG_MAX_CAPACITY)
        return -EINVAL;
    struct tg_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return -ENOMEM;
    engine->capacity = capacity;
    atomic_init(&engine->spans_per_million, -1);
    pthread_mutex_init(&engine->submitting, NULL);
    pthread_mutex_init(&engine->collecting, NULL);
    pthread_mutex_init(&engine->control, NULL);
    pthread_mutex_init(&engine->statements.lock, NULL);
    lookups_init(&engine->lookups);
    engine->clusters.endpoints.room.fd = -1;
    for (int i = 0; i < TG_SIGNALS; i++)
        engine->signals[i].fd = -1;
    for (int i = 0; i < TG_SIGNALS; i++) {
        engine->signals[i].fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (engine->signals[i].fd < 0) {
            error = -errno;
            goto fail;
        }
    }
    error = table_init(&engine->verdicts, &engine->epochs);
    if (error < 0)
        goto fail;
    engine->groups.workers = threads;
    error = clusters_init(&engine->clusters, &engine->epochs, &engine->groups, threads);
    if (error < 0)
        goto fail;
    owns_init(&engine->owns, engine->verdicts.seed);
    affinities_init(&engine->affinities, engine->verdicts.seed);
    error = -ENOMEM;
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
            memory_destroy(&worker->memory);
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
    return engine->signals[TG_URGENT].fd;
}

int tg_engine_record_fd(const tg_engine *engine)
{
    return engine->signals[TG_LEISURELY].fd;
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
    if (!request->punted && !engine_reserve(engine))
        return -ENOBUFS;
    error = relay_new(id, request, &relay);
    if (error == 0) {
        error = submit(engine, relay, handle);
        if (error < 0)
            relay_free(relay);
    }
    if (error < 0 && !request->punted)
        engine_release(engine);
    return error;
}

static int request(tg_engine *engine, uint64_t handle, enum tg_request what)
{
    handle &= ~TG_ACCEPTED;
    const unsigned index = (unsigned)(handle & 0xff);
    if (index >= engine->worker_count)
        return -ENOENT;
    struct tg_worker *worker = &engine->workers[index];
    int error = -ENOENT;
    pthread_mutex_lock(&engine->submitting);
    if (!atomic_load(&engine->stopping))
        error = registry_request(&worker->registry, handle, what);
    if (error == 0)
        worker_wake(worker);
    pthread_mutex_unlock(&engine->submitting);
    return error;
}

int tg_engine_abort(tg_engine *engine, uint64_t handle)
{
    return request(engine, handle, REQUEST_ABORT);
}

void tg_engine_part(tg_engine *engine, int parts)
{
    atomic_store(&engine->parting, parts != 0);
}

void tg_engine_drain(tg_engine *engine)
{
    pthread_mutex_lock(&engine->submitting);
    atomic_store(&engine->draining, true);
    if (!atomic_load(&engine->stopping))
        for (unsigned i = 0; i < engine->worker_count; i++)
            worker_wake(&engine->workers[i]);
    pthread_mutex_unlock(&engine->submitting);
}

int tg_engine_settle(tg_engine *engine, uint64_t handle, int side)
{
    if (side != DOWNSTREAM && side != UPSTREAM)
        return -EINVAL;
    return request(engine, handle, side == UPSTREAM ? REQUEST_SETTLE_UPSTREAM : REQUEST_SETTLE_DOWNSTREAM);
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
        listeners_close(engine);
        pthread_mutex_lock(&engine->collecting);
        for (int i = 0; i < TG_SIGNALS; i++) {
            if (engine->signals[i].fd >= 0)
                close(engine->signals[i].fd);
            engine->signals[i].fd = -1;
        }
        pthread_mutex_unlock(&engine->collecting);
        engine->joined = true;
    }
    pthread_mutex_unlock(&engine->submitting);
}

void tg_engine_free(tg_engine *engine)
{
    tg_engine_stop(engine);
    for (int queue = 0; queue < TG_QUEUES; queue++)
        for (struct tg_relay *relay; (relay = engine_next(engine, queue)) != NULL;)
            relay_free(relay);
    epoch_reclaim(&engine->epochs);
    table_destroy(&engine->verdicts);
    sites_destroy(&engine->sites);
    clusters_destroy(&engine->clusters);
    groups_destroy(&engine->groups);
    owns_destroy(&engine->owns);
    lookups_destroy(&engine->lookups);
    affinities_destroy(&engine->affinities);
    for (unsigned i = 0; i < engine->worker_count; i++) {
        registry_destroy(&engine->workers[i].registry);
        memory_destroy(&engine->workers[i].memory);
        exchanges_release(&engine->workers[i]);
        for (struct tg_node *node = mailbox_take(&engine->workers[i].found); node != NULL;) {
            struct tg_node *next = node->next;
            free(node);
            node = next;
        }
    }
    free(engine->workers);
    free(engine->announced);
    pthread_mutex_destroy(&engine->control);
    pthread_mutex_destroy(&engine->statements.lock);
    pthread_mutex_destroy(&engine->submitting);
    pthread_mutex_destroy(&engine->collecting);
    free(engine);
}
