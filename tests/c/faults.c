#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>

static _Atomic unsigned fault_rate;
static _Atomic uint64_t injected;
static _Atomic uint32_t next_seed = 1;
static _Thread_local uint32_t state;
static _Thread_local bool is_spared;

void faults_spare(bool spared)
{
    is_spared = spared;
}

void faults_set(unsigned rate)
{
    atomic_store(&fault_rate, rate);
}

uint64_t faults_injected(void)
{
    return atomic_load(&injected);
}

uint32_t faults_random(uint32_t below)
{
    if (state == 0)
        state = atomic_fetch_add(&next_seed, 1) * 2654435761u;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return (uint32_t)(((uint64_t)state * below) >> 32);
}

static int fails(int first, int second)
{
    const unsigned rate = atomic_load_explicit(&fault_rate, memory_order_relaxed);
    if (rate == 0 || is_spared || faults_random(65536) >= rate)
        return 0;
    atomic_fetch_add_explicit(&injected, 1, memory_order_relaxed);
    errno = faults_random(2) ? first : second;
    return 1;
}

ssize_t __real_splice(int, loff_t *, int, loff_t *, size_t, unsigned);
ssize_t __wrap_splice(int in, loff_t *in_at, int out, loff_t *out_at, size_t size, unsigned flags)
{
    return fails(ENOMEM, EINTR) ? -1 : __real_splice(in, in_at, out, out_at, size, flags);
}

int __real_pipe2(int *, int);
int __wrap_pipe2(int *ends, int flags)
{
    return fails(EMFILE, ENFILE) ? -1 : __real_pipe2(ends, flags);
}

int __real_epoll_ctl(int, int, int, struct epoll_event *);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    return fails(ENOMEM, ENOSPC) ? -1 : __real_epoll_ctl(epoll, operation, fd, event);
}

int __real_epoll_wait(int, struct epoll_event *, int, int);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int size, int timeout)
{
    return fails(EINTR, EINTR) ? -1 : __real_epoll_wait(epoll, events, size, timeout);
}

ssize_t __real_recv(int, void *, size_t, int);
ssize_t __wrap_recv(int fd, void *buffer, size_t size, int flags)
{
    return fails(ENOMEM, EINTR) ? -1 : __real_recv(fd, buffer, size, flags);
}

ssize_t __real_send(int, const void *, size_t, int);
ssize_t __wrap_send(int fd, const void *buffer, size_t size, int flags)
{
    return fails(ENOBUFS, EINTR) ? -1 : __real_send(fd, buffer, size, flags);
}

int __real_accept4(int, struct sockaddr *, socklen_t *, int);
int __wrap_accept4(int fd, struct sockaddr *from, socklen_t *size, int flags)
{
    return fails(EMFILE, ECONNABORTED) ? -1 : __real_accept4(fd, from, size, flags);
}

int __real_socket(int, int, int);
int __wrap_socket(int family, int kind, int protocol)
{
    return fails(EMFILE, ENOBUFS) ? -1 : __real_socket(family, kind, protocol);
}

int __real_connect(int, const struct sockaddr *, socklen_t);
int __wrap_connect(int fd, const struct sockaddr *to, socklen_t size)
{
    return fails(EADDRNOTAVAIL, ECONNREFUSED) ? -1 : __real_connect(fd, to, size);
}

/* There is no NAT here, and no privilege for it: the client's address, 127.1.0.K, says that it meant 10.0.0.K:80. */
int __real_getsockopt(int, int, int, void *, socklen_t *);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    struct sockaddr_in peer = {0};
    socklen_t length = sizeof peer;
    if (level != IPPROTO_IP || name != 80)
        return __real_getsockopt(fd, level, name, value, size);
    if (getpeername(fd, (struct sockaddr *)&peer, &length) < 0)
        return -1;
    peer.sin_addr.s_addr = htonl(0x0a000000 | (ntohl(peer.sin_addr.s_addr) & 0xff));
    peer.sin_port = htons(80);
    memcpy(value, &peer, sizeof peer);
    *size = sizeof peer;
    return 0;
}

void *__real_malloc(size_t);
void *__wrap_malloc(size_t size)
{
    return fails(ENOMEM, ENOMEM) ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t, size_t);
void *__wrap_calloc(size_t count, size_t size)
{
    return fails(ENOMEM, ENOMEM) ? NULL : __real_calloc(count, size);
}
