/* The bytes of messages on their way from one side to the other: read, framed by the caller, written. Nothing is read
 * while framed bytes wait to be written, which is the whole of back-pressure. For the owning worker only. */
#ifndef TG_FLOW_H
#define TG_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "relay/side.h"

struct tg_flow {
    struct tg_buffer *first;  /* goes out before the others: an edited head, a repeated request, an answer of ours */
    struct tg_buffer *buffer; /* what was read */
    struct tg_pipe *pipe;     /* what was poured: only while nothing waits in the two above */
    size_t piped;             /* bytes in the pipe, all of them framed */
    uint8_t thin;             /* consecutive small pours: at its limit the rest is read */
    size_t ready;             /* data[begin..ready) of it is framed and may be written, data[ready..end) is not */
};

enum flow_step {
    FLOW_MOVED,   /* some bytes */
    FLOW_BLOCKED, /* until the side's next event */
    FLOW_FULL,    /* the buffer has no room: TG_BUFFER_SIZE bytes are not framed yet */
    FLOW_STARVED, /* memory is missing: try again later */
    FLOW_END,     /* the side has sent its FIN */
    FLOW_FAILED   /* side->error says how */
};

static inline bool flow_owes(const struct tg_flow *flow)
{
    return flow->first != NULL || flow->piped > 0 || (flow->buffer != NULL && flow->ready > flow->buffer->begin);
}

static inline size_t flow_unframed(const struct tg_flow *flow)
{
    return flow->buffer == NULL ? 0 : flow->buffer->end - flow->ready;
}

static inline const char *flow_at(const struct tg_flow *flow)
{
    return flow->buffer == NULL ? "" : (const char *)flow->buffer->data + flow->ready;
}

/* Reads once. */
enum flow_step flow_read(struct tg_pool *pool, struct tg_flow *flow, struct tg_side *from);

/* Moves at most `most` bytes from the side into a pipe, unseen: the caller has framed them already. Nothing may wait in
 * the flow. How many; 0: nothing came that way, flow_read says why. */
size_t flow_pour(struct tg_pool *pool, struct tg_flow *flow, struct tg_side *from, uint64_t most, uint64_t now_us);

/* Writes once what may be written; there must be something. *sent: how many bytes were. */
enum flow_step flow_write(struct tg_pool *pool, struct tg_flow *flow, struct tg_side *to, size_t *sent);

/* The first unframed bytes are not passed on. */
void flow_skip(struct tg_pool *pool, struct tg_flow *flow, size_t bytes);

/* The first `length` unframed bytes become these others. False: there is no room for them, or no memory; nothing has
 * changed. */
bool flow_replace(struct tg_pool *pool, struct tg_flow *flow, size_t length, const void *bytes, size_t new_length);

/* Between turns a few bytes are kept in a few bytes of memory, and none in none. */
void flow_rest(struct tg_pool *pool, struct tg_flow *flow);

/* Drops what may be written (not what is unframed). */
void flow_forget(struct tg_pool *pool, struct tg_flow *flow);

/* Drops everything. */
void flow_drop(struct tg_pool *pool, struct tg_flow *flow);

#endif
