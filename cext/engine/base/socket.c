#include "base/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"

enum { SOL_TIDEGATE = 0x7467, SO_CLIENT = 1 /* bpf/include/sockopt.h */ };

static void set_option(int fd, int level, int name, int value)
{
    /* Best effort: AF_UNIX has no TCP options, and a relay without them is still a correct one. */
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

void socket_keep_urgent(int fd)
{
    set_option(fd, SOL_SOCKET, SO_OOBINLINE, 1);
}

void socket_tune(int fd, uint32_t keepalive_s)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    socket_keep_urgent(fd);
    if (keepalive_s > 0) {
        const int interval = keepalive_s >= 30 ? (int)(keepalive_s / 3) : 10;
        set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)keepalive_s);
        set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval);
        set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
        set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    }
}

void socket_keep_alive(int fd, const tg_keepalive *keepalive)
{
    if (keepalive->time_s != 0)
        set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)keepalive->time_s);
    if (keepalive->interval_s != 0)
        set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, (int)keepalive->interval_s);
    if (keepalive->probes != 0)
        set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, (int)keepalive->probes);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

void socket_name_client(int fd, const tg_address *client)
{
    struct sockaddr_storage from;
    const socklen_t size = address_to(client, &from);
    (void)setsockopt(fd, SOL_TIDEGATE, SO_CLIENT, &from, size);
}

void socket_reset(int fd)
{
    /* A linger time of zero is what sends RST. */
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

bool socket_is_shortage(int error)
{
    return error == ENOMEM || error == ENOBUFS;
}
