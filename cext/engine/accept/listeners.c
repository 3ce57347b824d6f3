/* Listening sockets as callers give and take them. All of it under engine->control, none of it in a worker's way. */
#include "accept/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/address.h"
#include "base/counter.h"
#include "base/socket.h"
#include "capacity.h"
#include "tell/queues.h"

static void unwatch(struct tg_engine *engine, int fd)
{
    for (unsigned i = 0; i < engine->worker_count; i++)
        (void)epoll_ctl(engine->workers[i].epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static int watch(struct tg_engine *engine, int number, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.u64 = LISTENER_EVENT(number)};
    for (unsigned i = 0; i < engine->worker_count; i++)
        if (epoll_ctl(engine->workers[i].epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
            return -errno;
    return 0;
}

/* What accepted sockets inherit is set here, once, and costs nothing later. */
static int make_ready(int fd, const tg_listener *listener, uint16_t *port)
{
    struct sockaddr_storage own = {0};
    socklen_t size = sizeof own;
    int listening = 0;
    socklen_t flag = sizeof listening;
    const int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &flag) < 0 ||
        getsockname(fd, (struct sockaddr *)&own, &size) < 0)
        return -errno;
    if (!listening)
        return -EINVAL;
    *port = address_from(&own).port;
    socket_tune(fd, listener->keepalive_s);
    return *port == 0 ? -EINVAL : 0;
}

static int free_number(const struct tg_engine *engine)
{
    for (int number = 0; number < TG_MAX_LISTENERS; number++)
        if (!atomic_load(&engine->listeners[number].open))
            return number;
    return -ENOSPC;
}

static int listen_on(struct tg_engine *engine, int fd, const tg_listener *listener)
{
    uint16_t port = 0;
    int error = make_ready(fd, listener, &port);
    if (error < 0)
        return error;
    const int number = free_number(engine);
    if (number < 0)
        return number;
    struct tg_listening *listening = &engine->listeners[number];
    listening->fd = fd;
    listening->port = port;
    atomic_store(&listening->accepted, 0);
    listening->options = *listener;
    /* Open first: a worker may be woken before the next one watches. */
    atomic_store(&listening->open, true);
    error = watch(engine, number, fd);
    if (error == 0)
        return number;
    atomic_store(&listening->open, false);
    unwatch(engine, fd);
    epoch_synchronize(&engine->epochs);
    unwatch(engine, fd);
    return error;
}

int tg_engine_listen(tg_engine *engine, int fd, const tg_listener *listener)
{
    int result = -ESHUTDOWN;
    if (listener->original < TG_ORIGINAL_AUTO || listener->original > TG_ORIGINAL_SOCKNAME)
        return -EINVAL;
    pthread_mutex_lock(&engine->submitting);
    pthread_mutex_lock(&engine->control);
    if (!atomic_load(&engine->stopping))
        result = listen_on(engine, fd, listener);
    pthread_mutex_unlock(&engine->control);
    pthread_mutex_unlock(&engine->submitting);
    return result;
}

/* A paused worker may be about to watch again, so it is unwatched once more when nobody can. is_last: no other process
 * serves the socket, so its port goes out of service now, though the descriptor stays until no worker uses it. */
static void close_listener(struct tg_engine *engine, struct tg_listening *listening, bool is_last)
{
    atomic_store(&listening->open, false);
    unwatch(engine, listening->fd);
    if (is_last)
        (void)shutdown(listening->fd, SHUT_RDWR);
    epoch_synchronize(&engine->epochs);
    unwatch(engine, listening->fd);
    close(listening->fd);
}

/* Workers go on accepting meanwhile. One that is paused doesn't, which is what the time is limited for. */
static void drain_backlog(int fd, unsigned drain_ms)
{
    const struct timespec moment = {.tv_nsec = 500 * 1000};
    struct pollfd backlog = {.fd = fd, .events = POLLIN};
    for (unsigned halves = 0; halves < 2 * drain_ms && poll(&backlog, 1, 0) > 0; halves++)
        nanosleep(&moment, NULL);
}

int64_t tg_engine_accepted(tg_engine *engine, int number)
{
    if (number < 0 || number >= TG_MAX_LISTENERS || !atomic_load(&engine->listeners[number].open))
        return -ENOENT;
    return (int64_t)counter_read(&engine->listeners[number].accepted);
}

static int close_number(struct tg_engine *engine, int number, unsigned drain_ms, bool is_last)
{
    int result = -ENOENT;
    pthread_mutex_lock(&engine->submitting);
    pthread_mutex_lock(&engine->control);
    if (number >= 0 && number < TG_MAX_LISTENERS && atomic_load(&engine->listeners[number].open)) {
        drain_backlog(engine->listeners[number].fd, drain_ms);
        close_listener(engine, &engine->listeners[number], is_last);
        result = 0;
    }
    pthread_mutex_unlock(&engine->control);
    pthread_mutex_unlock(&engine->submitting);
    return result;
}

int tg_engine_unlisten(tg_engine *engine, int number, unsigned drain_ms)
{
    return close_number(engine, number, drain_ms, true);
}

int tg_engine_leave(tg_engine *engine, int number)
{
    return close_number(engine, number, 0, false);
}

void listeners_close(struct tg_engine *engine)
{
    pthread_mutex_lock(&engine->control);
    for (int number = 0; number < TG_MAX_LISTENERS; number++) {
        if (!atomic_load(&engine->listeners[number].open))
            continue;
        atomic_store(&engine->listeners[number].open, false);
        close(engine->listeners[number].fd);
    }
    pthread_mutex_unlock(&engine->control);
    /* No thread will take care of these connections any more. */
    pthread_mutex_lock(&engine->collecting);
    for (struct tg_relay *relay; (relay = engine_next(engine, TG_PUNTED)) != NULL;) {
        socket_reset(relay->side[DOWNSTREAM].fd);
        relay_free(relay);
        engine_release(engine);
    }
    pthread_mutex_unlock(&engine->collecting);
}
