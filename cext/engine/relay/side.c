#include "relay/side.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/socket.h"

int side_watch(const struct tg_side *side, int epoll_fd, uint64_t handle, int index)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
        .data.u64 = (handle & ~UINT64_C(0xff)) | (uint64_t)index,
    };
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, side->fd, &event) < 0 ? -errno : 0;
}

void side_tune_late(struct tg_side *side, uint32_t keepalive_s)
{
    side->plain = false;
    socket_tune(side->fd, keepalive_s);
}

void side_note(struct tg_side *side, uint32_t events)
{
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
        side->eager = true;
    /* Not after a failure, whose events include this one. */
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == EPOLLRDHUP)
        side->fin = true;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
        side->readable = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        side->writable = true;
}
