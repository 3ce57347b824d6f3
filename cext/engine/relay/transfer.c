/* One direction of a relay: read from its source, write to its destination.
 *
 * Reading and writing alternate and nothing is read while bytes are pending: that is the whole of back-pressure, and it
 * keeps at most one buffer or pipe a direction. Short streams are copied through a pooled buffer. A direction that has
 * proven bulky is spliced through a pooled pipe; when there is none it is copied on. */
#include "relay/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/counter.h"
#include "base/socket.h"
#include "database/watch.h"
#include "relay/schedule.h"
#include "state.h"

enum {
    STEPS_PER_TURN = 16,      /* system calls before another relay gets its turn */
    BULKY_AFTER = 128 * 1024, /* bytes of a direction; measured: below, a pipe costs as much as it saves */
    THIN_READ = 8 * 1024,     /* a splice of less than this would have been cheaper as a copy */
    THIN_LIMIT = 8,           /* that many in a row end the bulky phase */
    BLIND_LIMIT = 4           /* one or two can be bytes that came between the two calls */
};

void transfer_side_failed(struct tg_worker *worker, struct tg_relay *relay, int side, int error)
{
    if (relay->side[side].error != 0)
        return;
    if (!is_failed(relay)) {
        relay->reason = side == DOWNSTREAM ? TG_DOWNSTREAM_RESET : TG_UPSTREAM_RESET;
        relay->error = error;
        relay->grace_ms = worker->now_us / 1000 + GRACE_MS;
        relay->unacked = -1;
    }
    relay->side[side].error = error;
    relay->side[side].readable = true; /* until recv says that nothing is left */
    relay->side[side].eager = true;
    relay->direction[1 - side].abandoned = true;
    direction_discard(&relay->direction[1 - side], &worker->pool);
}

static void delivered(struct tg_worker *worker, struct tg_relay *relay, int from, size_t bytes, bool spliced)
{
    counter_add(&relay->direction[from].bytes, bytes);
    counter_add(&worker->bytes[from], bytes);
    if (spliced)
        counter_add(&worker->spliced, bytes);
    if (relay->connection != NULL)
        counter_add(&group_share(relay->connection->group, worker->index)->bytes[from], bytes);
    atomic_store_explicit(&relay->active_ms, worker->now_us / 1000, memory_order_relaxed);
}

/* Writes pending bytes once. The pipe is not empty here, so EAGAIN of a splice out of it can only mean that the socket
 * is full. */
static enum tg_progress flush(struct tg_worker *worker, struct tg_relay *relay, int from)
{
    struct tg_direction *direction = &relay->direction[from];
    struct tg_side *destination = &relay->side[1 - from];
    struct tg_buffer *buffer = direction->buffer;
    ssize_t sent;

    /* The first segment waits for no acknowledgement, with or without TCP_NODELAY. */
    if (destination->plain && counter_read(&direction->bytes) > 0)
        side_tune_late(destination, relay->keepalive_s);
    /* Behind these bytes there are more of them, or the FIN that ends them: it is passed on in this very turn or the
     * next, and then both leave in one segment. The kernel waits no longer than 200 ms in any case. */
    const int more = relay->side[from].fin && !direction->ended ? MSG_MORE : 0;
    if (buffer != NULL)
        sent = send(destination->fd, buffer->data + buffer->begin, buffer->end - buffer->begin, MSG_NOSIGNAL | more);
    else
        sent = splice(direction->pipe->read_fd, NULL, destination->fd, NULL, direction->piped,
                      SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (sent <= 0) {
        if (sent < 0 && errno == EAGAIN) {
            destination->writable = false;
            return TRANSFER_BLOCKED;
        }
        if (sent < 0 && errno == EINTR)
            return TRANSFER_MORE;
        if (sent < 0 && socket_is_shortage(errno))
            return TRANSFER_STARVED;
        /* Neither call gives 0 for a non-empty request; taken for a success it would spin. */
        transfer_side_failed(worker, relay, 1 - from, sent < 0 ? errno : EIO);
        return TRANSFER_BLOCKED;
    }
    delivered(worker, relay, from, (size_t)sent, buffer == NULL);
    if (buffer == NULL) {
        direction->piped -= (size_t)sent;
    } else {
        database_delivered(worker, relay, from, buffer->data + buffer->begin, (size_t)sent);
        buffer->begin += (size_t)sent;
        if (buffer->begin == buffer->end) {
            pool_put_buffer(&worker->pool, buffer);
            direction->buffer = NULL;
        }
    }
    return TRANSFER_MORE;
}

/* Moves bytes from the socket into an empty pipe. False: nothing came, ask recv why.
 *
 * The usual doubt about EAGAIN (socket empty or pipe full?) doesn't arise: the pipe is empty. But neither EAGAIN nor 0
 * proves that nothing is left to read: splice stops at an urgent mark and doesn't see what a sockmap program queued,
 * while recv gets both. Such a queue comes before TCP's, so a splice that took from the latter would reorder: where one
 * is suspected (*missed, and recv gets something, repeatedly) splicing ends for good. Errors are ours to keep:
 * reporting one clears it in the socket, and recv would then show a clean end. */
static bool fill_pipe(struct tg_worker *worker, struct tg_relay *relay, int from, bool *missed)
{
    struct tg_direction *direction = &relay->direction[from];
    if (direction->pipe == NULL)
        direction->pipe = pool_get_pipe(&worker->pool, worker->now_us);
    if (direction->pipe == NULL)
        return false;
    const ssize_t got = splice(relay->side[from].fd, NULL, direction->pipe->write_fd, NULL, direction->pipe->size,
                               SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (got > 0) {
        direction->piped = (size_t)got;
        direction->blind = 0;
        direction->thin = got < THIN_READ ? direction->thin + 1 : 0;
        if (direction->thin >= THIN_LIMIT)
            direction->bulky = false;
        return true;
    }
    *missed = got == 0 || errno == EAGAIN;
    if (got < 0 && errno != EAGAIN && errno != EINTR) {
        if (errno == EINVAL || socket_is_shortage(errno))
            direction->bulky = false;
        else
            transfer_side_failed(worker, relay, from, errno);
    }
    return false;
}

/* Reads once, into pipe or buffer. */
static enum tg_progress fill(struct tg_worker *worker, struct tg_relay *relay, int from)
{
    struct tg_direction *direction = &relay->direction[from];
    struct tg_side *source = &relay->side[from];
    bool missed = false;

    if (direction->bulky && fill_pipe(worker, relay, from, &missed))
        return TRANSFER_MORE;
    struct tg_buffer *buffer = pool_get_buffer(&worker->pool);
    if (buffer == NULL)
        return TRANSFER_STARVED;
    const ssize_t got = recv(source->fd, buffer->data, buffer->size, 0);
    if (got > 0) {
        buffer->end = (size_t)got;
        direction->buffer = buffer;
        if (missed && ++direction->blind >= BLIND_LIMIT)
            direction->bulky = false;
        if (buffer->end < buffer->size)
            source->readable = source->eager;
        else if (direction->blind < BLIND_LIMIT && counter_read(&direction->bytes) >= BULKY_AFTER &&
                 !database_is_followed(relay)) {
            direction->bulky = true;
            direction->thin = 0;
        }
        return TRANSFER_MORE;
    }
    const int error = got < 0 ? errno : 0;
    pool_put_buffer(&worker->pool, buffer);
    if (error == EAGAIN) {
        source->readable = false;
    } else if (socket_is_shortage(error)) {
        return TRANSFER_STARVED;
    } else if (error != EINTR) {
        direction->ended = true;
        if (error != 0)
            transfer_side_failed(worker, relay, from, error);
    }
    return TRANSFER_MORE;
}

void transfer_early(struct tg_worker *worker, struct tg_relay *relay, int from)
{
    relay->side[from].readable = true;
    (void)fill(worker, relay, from);
}

/* An idle or finished direction borrows nothing. */
static void give_back_pipe(struct tg_worker *worker, struct tg_direction *direction)
{
    if (direction->pipe != NULL && direction->piped == 0) {
        pool_put_pipe(&worker->pool, direction->pipe, true);
        direction->pipe = NULL;
    }
}

enum tg_progress transfer(struct tg_worker *worker, struct tg_relay *relay, int from)
{
    struct tg_direction *direction = &relay->direction[from];
    struct tg_side *source = &relay->side[from];
    struct tg_side *destination = &relay->side[1 - from];
    enum tg_progress progress = TRANSFER_MORE;

    for (int step = 0; step < STEPS_PER_TURN && progress == TRANSFER_MORE; step++) {
        if (direction->abandoned || direction->closed) {
            progress = TRANSFER_BLOCKED;
        } else if (direction_is_pending(direction)) {
            progress = destination->writable ? flush(worker, relay, from) : TRANSFER_BLOCKED;
        } else if (direction->ended) {
            /* After a failure of the source there is no FIN: drive.c resets the destination once it has got everything.
             */
            if (source->error == 0) {
                /* When the other direction is over, the close that follows sends this FIN. */
                if (relay->direction[1 - from].closed || shutdown(destination->fd, SHUT_WR) == 0)
                    direction->closed = true;
                else
                    transfer_side_failed(worker, relay, 1 - from, errno);
            }
            progress = TRANSFER_BLOCKED;
        } else {
            progress = source->readable ? fill(worker, relay, from) : TRANSFER_BLOCKED;
        }
    }
    if (progress != TRANSFER_MORE)
        give_back_pipe(worker, direction);
    return progress;
}
