#include "upstream/upstream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/socket.h"
#include "relay/dial.h"
#include "state.h"

enum { FIRST_SLOTS = 64 };

static bool grow(struct tg_upstreams *upstreams)
{
    const uint32_t count = upstreams->count == 0 ? FIRST_SLOTS : upstreams->count * 2;
    struct tg_upstream_slot *slots = realloc(upstreams->slots, count * sizeof *slots);
    if (slots == NULL)
        return false;
    upstreams->slots = slots;
    for (uint32_t i = upstreams->count; i < count; i++)
        slots[i] = (struct tg_upstream_slot){.next_free = i + 1 < count ? i + 2 : 0};
    upstreams->free = upstreams->count + 1;
    upstreams->count = count;
    return true;
}

static struct tg_upstream *new_upstream(struct tg_worker *worker)
{
    struct tg_upstreams *upstreams = &worker->upstreams;
    struct tg_upstream *upstream = calloc(1, sizeof *upstream);
    if (upstream == NULL || (upstreams->free == 0 && !grow(upstreams))) {
        free(upstream);
        return NULL;
    }
    const uint32_t index = upstreams->free - 1;
    struct tg_upstream_slot *slot = &upstreams->slots[index];
    upstreams->free = slot->next_free;
    slot->upstream = upstream;
    upstream->handle = (uint64_t)slot->generation << 32 | (uint64_t)index << 8;
    upstream->side.fd = -1;
    return upstream;
}

static void forget(struct tg_worker *worker, struct tg_upstream *upstream)
{
    const uint32_t index = (uint32_t)upstream->handle >> 8;
    struct tg_upstream_slot *slot = &worker->upstreams.slots[index];
    slot->upstream = NULL;
    slot->generation++;
    slot->next_free = worker->upstreams.free;
    worker->upstreams.free = index + 1;
    own_remove(&worker->engine->owns, &upstream->own);
    taken_give(&upstream->taken);
    free(upstream);
}

int upstream_open(struct tg_worker *worker, const struct tg_caller *caller, const tg_address *address,
                  struct tg_upstream **out)
{
    struct tg_upstream *upstream = new_upstream(worker);
    if (upstream == NULL)
        return -ENOMEM;
    const int fd = dial(caller, address);
    int error = fd < 0 ? fd : 0;
    if (error == 0) {
        upstream->side = (struct tg_side){.fd = fd, .plain = true};
        error = side_watch(&upstream->side, worker->epoll_fd, upstream->handle, EVENT_UPSTREAM);
    }
    if (error < 0) {
        if (fd >= 0)
            close(fd);
        forget(worker, upstream);
        return error;
    }
    upstream->address = *address;
    upstream->scope = caller->listener->scope;
    upstream->connecting = true;
    dial_remember(worker, fd, caller, address, &upstream->own);
    *out = upstream;
    return 0;
}

/* Events that are known already are told again by the kernel. */
static int watch_anew(struct tg_worker *worker, int fd, uint64_t handle, int index)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
        .data.u64 = (handle & ~UINT64_C(0xff)) | (uint64_t)index,
    };
    return epoll_ctl(worker->epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0 ? -errno : 0;
}

static void move_own(struct tg_worker *worker, struct tg_own *from, struct tg_own *to)
{
    const bool listed = from->listed;
    own_remove(&worker->engine->owns, from);
    to->source = from->source;
    to->destination = from->destination;
    to->scope = from->scope;
    to->hops = from->hops;
    if (listed)
        own_add(&worker->engine->owns, to);
}

int upstream_adopt(struct tg_worker *worker, struct tg_relay *relay, struct tg_upstream **out)
{
    struct tg_connection *connection = relay->connection;
    struct tg_upstream *upstream = new_upstream(worker);
    if (upstream == NULL)
        return -ENOMEM;
    const int error = watch_anew(worker, relay->side[UPSTREAM].fd, upstream->handle, EVENT_UPSTREAM);
    if (error < 0) {
        forget(worker, upstream);
        return error;
    }
    upstream->side = relay->side[UPSTREAM];
    upstream->address = connection->upstream;
    upstream->scope = connection->listener.scope;
    upstream->group = connection->ruling->asked.action == TG_PASS
                          ? connection->ruling->http_group
                          : connection->ruling->targets[connection->target].http_group;
    upstream->connecting = connection->connecting;
    upstream->answered = connection->answered;
    upstream->troubled = connection->troubled;
    upstream->relay = relay;
    relay->side[UPSTREAM] = (struct tg_side){.fd = -1};
    connection->connecting = false;
    move_own(worker, &connection->own, &upstream->own);
    *out = upstream;
    return 0;
}

int upstream_surrender(struct tg_worker *worker, struct tg_upstream *upstream, struct tg_relay *relay)
{
    const int error = watch_anew(worker, upstream->side.fd, relay->handle, UPSTREAM);
    if (error < 0) {
        upstream_close(worker, upstream, true);
        return error;
    }
    relay->side[UPSTREAM] = upstream->side;
    relay->side[UPSTREAM].readable = relay->side[UPSTREAM].eager = true;
    move_own(worker, &upstream->own, &relay->connection->own);
    forget(worker, upstream);
    return 0;
}

void upstream_close(struct tg_worker *worker, struct tg_upstream *upstream, bool reset)
{
    if (reset)
        socket_reset(upstream->side.fd);
    else
        close(upstream->side.fd);
    forget(worker, upstream);
}

struct tg_upstream *upstream_find(struct tg_worker *worker, uint64_t handle)
{
    const uint32_t index = (uint32_t)handle >> 8;
    if (index >= worker->upstreams.count || worker->upstreams.slots[index].generation != handle >> 32)
        return NULL;
    return worker->upstreams.slots[index].upstream;
}

void upstream_note(struct tg_upstream *upstream, uint32_t events)
{
    side_note(&upstream->side, events);
    if (upstream->connecting) {
        upstream->answered = true;
        upstream->troubled = upstream->troubled || (events & (EPOLLERR | EPOLLHUP)) != 0;
    } else if (events & EPOLLERR) {
        int error = 0;
        socklen_t size = sizeof error;
        if (getsockopt(upstream->side.fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0)
            upstream->side.error = error;
    }
}

bool upstream_says_nothing(const struct tg_upstream *upstream)
{
    char byte;
    return recv(upstream->side.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

bool upstream_is_silent(struct tg_upstream *upstream)
{
    struct tg_side *side = &upstream->side;
    if (side->fin || side->error != 0)
        return false;
    /* A read that was filled to the last byte leaves open whether there is more. */
    if (side->readable && !upstream_says_nothing(upstream))
        return false;
    side->readable = false;
    return true;
}

void upstreams_destroy(struct tg_upstreams *upstreams)
{
    free(upstreams->slots);
    *upstreams = (struct tg_upstreams){0};
}
