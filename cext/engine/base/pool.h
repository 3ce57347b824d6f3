/* What a relay borrows while it has bytes in hand: buffers and pipes. One pool a worker, so without locks; an idle
 * relay holds neither. */
#ifndef TG_POOL_H
#define TG_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TG_BUFFER_SIZE (64 * 1024)

struct tg_buffer {
    struct tg_buffer *next;
    size_t size; /* of data; TG_BUFFER_SIZE for pooled ones */
    size_t begin;
    size_t end; /* pending bytes are data[begin..end) */
    unsigned char data[];
};

struct tg_pipe {
    struct tg_pipe *next;
    int read_fd;
    int write_fd;
    size_t size;
};

struct tg_pool {
    struct tg_buffer *buffers; /* last in, first out: the next read lands in memory that is still in the cache */
    unsigned buffers_kept;
    struct tg_pipe *pipes; /* all of them empty */
    unsigned pipes_kept;
    unsigned pipes_open;
    uint64_t no_pipe_before_us; /* creating one failed: don't ask the kernel again at every read */
};

/* A buffer that belongs to no pool yet, filled with `length` bytes. NULL: no memory. */
struct tg_buffer *buffer_of(const void *bytes, size_t length);

/* An empty buffer of TG_BUFFER_SIZE. NULL: no memory. */
struct tg_buffer *pool_get_buffer(struct tg_pool *pool);
void pool_put_buffer(struct tg_pool *pool, struct tg_buffer *buffer);

/* An empty pipe. NULL: none to be had (descriptors, memory, or our own limit): copy instead. */
struct tg_pipe *pool_get_pipe(struct tg_pool *pool, uint64_t now_us);

/* `empty` must be true only if every byte that went in has come out again: a pipe with a rest would give it to another
 * relay. */
void pool_put_pipe(struct tg_pool *pool, struct tg_pipe *pipe, bool empty);

void pool_destroy(struct tg_pool *pool);

#endif
