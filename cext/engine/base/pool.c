#include "base/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BUFFERS_KEPT = 16,
    PIPES_KEPT = 32,
    /* Each costs two descriptors and up to PIPE_SIZE of kernel memory, which the kernel limits per user (64 MiB,
       pipe(7)). */
    PIPES_OPEN_MAX = 256,
    PIPE_SIZE = 256 * 1024,
    PIPE_USEFUL = 32 * 1024,
    PIPE_RETRY_US = 1000 * 1000
};

struct tg_buffer *buffer_of(const void *bytes, size_t length)
{
    struct tg_buffer *buffer = malloc(sizeof *buffer + length);
    if (buffer == NULL)
        return NULL;
    *buffer = (struct tg_buffer){.size = length, .end = length};
    memcpy(buffer->data, bytes, length);
    return buffer;
}

struct tg_buffer *pool_get_buffer(struct tg_pool *pool)
{
    struct tg_buffer *buffer = pool->buffers;
    if (buffer != NULL) {
        pool->buffers = buffer->next;
        pool->buffers_kept--;
    } else {
        buffer = malloc(sizeof *buffer + TG_BUFFER_SIZE);
        if (buffer == NULL)
            return NULL;
        buffer->size = TG_BUFFER_SIZE;
    }
    buffer->next = NULL;
    buffer->begin = buffer->end = 0;
    return buffer;
}

void pool_put_buffer(struct tg_pool *pool, struct tg_buffer *buffer)
{
    if (buffer->size != TG_BUFFER_SIZE || pool->buffers_kept >= BUFFERS_KEPT) {
        free(buffer);
        return;
    }
    buffer->next = pool->buffers;
    pool->buffers = buffer;
    pool->buffers_kept++;
}

static void pipe_close(struct tg_pool *pool, struct tg_pipe *pipe)
{
    close(pipe->read_fd);
    close(pipe->write_fd);
    free(pipe);
    pool->pipes_open--;
}

static struct tg_pipe *pipe_open(struct tg_pool *pool)
{
    int ends[2];
    struct tg_pipe *pipe = malloc(sizeof *pipe);
    if (pipe == NULL)
        return NULL;
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0) {
        free(pipe);
        return NULL;
    }
    *pipe = (struct tg_pipe){.read_fd = ends[0], .write_fd = ends[1]};
    pool->pipes_open++;
    /* Growing is a wish; what the user's pipe quota left us decides whether splicing is still worth its system calls.
     */
    int size = fcntl(ends[1], F_SETPIPE_SZ, PIPE_SIZE);
    if (size < 0)
        size = fcntl(ends[1], F_GETPIPE_SZ);
    if (size < PIPE_USEFUL) {
        pipe_close(pool, pipe);
        return NULL;
    }
    pipe->size = (size_t)size;
    return pipe;
}

struct tg_pipe *pool_get_pipe(struct tg_pool *pool, uint64_t now_us)
{
    struct tg_pipe *pipe = pool->pipes;
    if (pipe != NULL) {
        pool->pipes = pipe->next;
        pool->pipes_kept--;
        pipe->next = NULL;
        return pipe;
    }
    if (pool->pipes_open >= PIPES_OPEN_MAX || now_us < pool->no_pipe_before_us)
        return NULL;
    pipe = pipe_open(pool);
    if (pipe == NULL)
        pool->no_pipe_before_us = now_us + PIPE_RETRY_US;
    return pipe;
}

void pool_put_pipe(struct tg_pool *pool, struct tg_pipe *pipe, bool empty)
{
    if (!empty || pool->pipes_kept >= PIPES_KEPT) {
        pipe_close(pool, pipe);
        return;
    }
    pipe->next = pool->pipes;
    pool->pipes = pipe;
    pool->pipes_kept++;
}

void pool_destroy(struct tg_pool *pool)
{
    while (pool->buffers != NULL) {
        struct tg_buffer *next = pool->buffers->next;
        free(pool->buffers);
        pool->buffers = next;
    }
    while (pool->pipes != NULL) {
        struct tg_pipe *next = pool->pipes->next;
        pipe_close(pool, pool->pipes);
        pool->pipes = next;
    }
}
