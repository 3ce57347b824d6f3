#include "relay/flow.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/socket.h"

enum {
    FEW = 4096,
    THIN = 8 * 1024, /* a pour of less would have been cheaper as a copy */
    THIN_LIMIT = 8
};

static void put_back_if_empty(struct tg_pool *pool, struct tg_flow *flow)
{
    if (flow->buffer == NULL || flow->buffer->begin < flow->buffer->end)
        return;
    pool_put_buffer(pool, flow->buffer);
    flow->buffer = NULL;
    flow->ready = 0;
}

/* Makes sure that the buffer is a pooled one with its bytes at the front. */
static bool make_room(struct tg_pool *pool, struct tg_flow *flow)
{
    struct tg_buffer *old = flow->buffer;
    if (old != NULL && old->size == TG_BUFFER_SIZE && old->begin == 0)
        return true;
    struct tg_buffer *buffer = old;
    if (old == NULL || old->size != TG_BUFFER_SIZE) {
        buffer = pool_get_buffer(pool);
        if (buffer == NULL)
            return false;
    }
    if (old != NULL) {
        const size_t length = old->end - old->begin;
        memmove(buffer->data, old->data + old->begin, length);
        flow->ready -= old->begin;
        buffer->begin = 0;
        buffer->end = length;
        if (buffer != old)
            pool_put_buffer(pool, old);
    }
    flow->buffer = buffer;
    return true;
}

enum flow_step flow_read(struct tg_pool *pool, struct tg_flow *flow, struct tg_side *from)
{
    if (!make_room(pool, flow))
        return FLOW_STARVED;
    struct tg_buffer *buffer = flow->buffer;
    const size_t room = buffer->size - buffer->end;
    if (room == 0)
        return FLOW_FULL;
    const ssize_t got = recv(from->fd, buffer->data + buffer->end, room, 0);
    if (got > 0) {
        buffer->end += (size_t)got;
        if ((size_t)got < room)
            from->readable = from->eager;
        return FLOW_MOVED;
    }
    const int error = got < 0 ? errno : 0;
    put_back_if_empty(pool, flow);
    if (error == EAGAIN) {
        from->readable = false;
        return FLOW_BLOCKED;
    }
    if (error == EINTR)
        return FLOW_MOVED;
    if (error == 0)
        return FLOW_END;
    if (socket_is_shortage(error))
        return FLOW_STARVED;
    from->error = error;
    return FLOW_FAILED;
}

/* The usual doubt about EAGAIN (socket empty or pipe full?) doesn't arise: the pipe is empty. Errors are flow_read's to
 * find: reporting one here would clear it in the socket, but for those, the caller reads as after EAGAIN. */
size_t flow_pour(struct tg_pool *pool, struct tg_flow *flow, struct tg_side *from, uint64_t most, uint64_t now_us)
{
    if (flow->thin >= THIN_LIMIT)
        return 0;
    if (flow->pipe == NULL)
        flow->pipe = pool_get_pipe(pool, now_us);
    if (flow->pipe == NULL)
        return 0;
    const size_t size = most < flow->pipe->size ? (size_t)most : flow->pipe->size;
    const ssize_t got = splice(from->fd, NULL, flow->pipe->write_fd, NULL, size, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (got <= 0) {
        if (got < 0 && errno != EAGAIN && errno != EINTR) {
            flow->thin = THIN_LIMIT;
            if (errno != EINVAL && !socket_is_shortage(errno))
                from->error = errno;
        }
        return 0;
    }
    flow->piped = (size_t)got;
    flow->thin = got < THIN ? (uint8_t)(flow->thin + 1) : 0;
    return (size_t)got;
}

static void give_back_pipe(struct tg_pool *pool, struct tg_flow *flow)
{
    if (flow->pipe != NULL)
        pool_put_pipe(pool, flow->pipe, flow->piped == 0);
    flow->pipe = NULL;
    flow->piped = 0;
}

static void take(struct tg_pool *pool, struct tg_flow *flow, size_t sent)
{
    if (flow->first != NULL) {
        const size_t length = flow->first->end - flow->first->begin;
        const size_t part = sent < length ? sent : length;
        flow->first->begin += part;
        sent -= part;
        if (flow->first->begin == flow->first->end) {
            pool_put_buffer(pool, flow->first);
            flow->first = NULL;
        }
    }
    if (flow->buffer != NULL) {
        flow->buffer->begin += sent;
        put_back_if_empty(pool, flow);
    }
}

/* Neither call gives 0 for a request that is not empty; taken for a success it would spin. */
static enum flow_step not_written(struct tg_side *to, ssize_t done)
{
    const int error = done < 0 ? errno : EIO;
    if (error == EAGAIN) {
        to->writable = false;
        return FLOW_BLOCKED;
    }
    if (error == EINTR)
        return FLOW_MOVED;
    if (socket_is_shortage(error))
        return FLOW_STARVED;
    to->error = error;
    return FLOW_FAILED;
}

enum flow_step flow_write(struct tg_pool *pool, struct tg_flow *flow, struct tg_side *to, size_t *sent)
{
    struct iovec parts[2];
    struct msghdr message = {.msg_iov = parts};
    ssize_t done;
    *sent = 0;
    if (flow->piped > 0) {
        done = splice(flow->pipe->read_fd, NULL, to->fd, NULL, flow->piped, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        if (done > 0) {
            *sent = (size_t)done;
            flow->piped -= (size_t)done;
            return FLOW_MOVED;
        }
        return not_written(to, done);
    }
    if (flow->first != NULL)
        parts[message.msg_iovlen++] =
            (struct iovec){flow->first->data + flow->first->begin, flow->first->end - flow->first->begin};
    if (flow->buffer != NULL && flow->ready > flow->buffer->begin)
        parts[message.msg_iovlen++] =
            (struct iovec){flow->buffer->data + flow->buffer->begin, flow->ready - flow->buffer->begin};
    done = message.msg_iovlen == 1 ? send(to->fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL)
                                   : sendmsg(to->fd, &message, MSG_NOSIGNAL);
    if (done <= 0)
        return not_written(to, done);
    *sent = (size_t)done;
    take(pool, flow, *sent);
    return FLOW_MOVED;
}

void flow_skip(struct tg_pool *pool, struct tg_flow *flow, size_t bytes)
{
    if (bytes == 0)
        return;
    /* Framed bytes that wait before them would be cut off: there are none where this is called. */
    flow->ready += bytes;
    flow->buffer->begin = flow->ready;
    put_back_if_empty(pool, flow);
}

bool flow_replace(struct tg_pool *pool, struct tg_flow *flow, size_t length, const void *bytes, size_t new_length)
{
    const size_t rest = flow_unframed(flow) - length;
    if (flow->ready + new_length + rest > flow->buffer->size && !make_room(pool, flow))
        return false;
    struct tg_buffer *buffer = flow->buffer;
    if (flow->ready + new_length + rest > buffer->size)
        return false;
    memmove(buffer->data + flow->ready + new_length, buffer->data + flow->ready + length, rest);
    memcpy(buffer->data + flow->ready, bytes, new_length);
    buffer->end = flow->ready + new_length + rest;
    return true;
}

void flow_rest(struct tg_pool *pool, struct tg_flow *flow)
{
    if (flow->piped == 0)
        give_back_pipe(pool, flow);
    put_back_if_empty(pool, flow);
    struct tg_buffer *old = flow->buffer;
    if (old == NULL || old->size != TG_BUFFER_SIZE || old->end - old->begin > FEW)
        return;
    struct tg_buffer *small = buffer_of(old->data + old->begin, old->end - old->begin);
    if (small == NULL)
        return; /* the large one does as well */
    flow->ready -= old->begin;
    flow->buffer = small;
    pool_put_buffer(pool, old);
}

void flow_forget(struct tg_pool *pool, struct tg_flow *flow)
{
    give_back_pipe(pool, flow);
    flow->thin = 0;
    if (flow->first != NULL)
        pool_put_buffer(pool, flow->first);
    flow->first = NULL;
    if (flow->buffer != NULL) {
        flow->buffer->begin = flow->ready;
        put_back_if_empty(pool, flow);
    }
}

void flow_drop(struct tg_pool *pool, struct tg_flow *flow)
{
    give_back_pipe(pool, flow);
    if (flow->first != NULL)
        pool_put_buffer(pool, flow->first);
    if (flow->buffer != NULL)
        pool_put_buffer(pool, flow->buffer);
    *flow = (struct tg_flow){0};
}
