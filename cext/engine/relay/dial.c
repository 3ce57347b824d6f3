#include "relay/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"
#include "base/socket.h"
#include "state.h"
#include "upstream/stand_in.h"

bool dial_is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

void dial_remember(struct tg_worker *worker, int fd, const struct tg_caller *caller, const tg_address *address,
                   struct tg_own *own)
{
    struct sockaddr_storage local = {0};
    socklen_t size = sizeof local;
    if (getsockname(fd, (struct sockaddr *)&local, &size) == 0) {
        own->hops = caller->hops;
        own->source = address_from(&local);
        own->destination = *address;
        own->scope = caller->listener->scope;
        own_add(&worker->engine->owns, own);
    }
}

/* Where the listener asks for a source. And where a connection may have come from ourselves: bind() prefers odd ports
 * and connect() even ones, which is what those have whose ports are the trouble (own.h). */
static int bind_source(int fd, const struct tg_caller *caller, const tg_address *address)
{
    const tg_address *source = &caller->listener->sources[address->family == 6];
    const tg_address any = {.family = address->family};
    struct sockaddr_storage from;
    if (source->family == 0 && caller->hops == 0)
        return 0;
    const socklen_t size = address_to(source->family == 0 ? &any : source, &from);
    return bind(fd, (struct sockaddr *)&from, size) < 0 ? -errno : 0;
}

/* The client has spoken already, and its bytes will carry the handshake's last acknowledgement: a segment less. The
 * kernel goes back to quick acknowledgements by itself when the connection is there. Not for clients that are silent:
 * for 200 ms a server that speaks first would not know that it has a connection. */
static void hold_handshake_ack(int fd)
{
    const int off = 0;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof off);
}

static int begin(const struct tg_caller *caller, const tg_address *address)
{
    struct sockaddr_storage to;
    const socklen_t size = address_to(address, &to);
    const uint32_t mark = caller->listener->mark;
    const int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

    if (fd < 0)
        return -errno;
    /* Without its mark the connection might be captured: better none. */
    if (mark != 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) < 0)
        goto fail;
    socket_keep_urgent(fd);
    if (caller->keepalive->wanted != 0)
        socket_keep_alive(fd, caller->keepalive);
    if (caller->listener->inbound != 0)
        socket_name_client(fd, caller->client);
    if (caller->has_spoken)
        hold_handshake_ack(fd);
    if (caller->listener->as_client != 0)
        errno = -stand_in_bind(fd, caller->client, address);
    else
        errno = -bind_source(fd, caller, address);
    if (errno != 0)
        goto fail;
    if (connect(fd, (struct sockaddr *)&to, size) < 0 && errno != EINPROGRESS && errno != EINTR)
        goto fail;
    return fd;
fail:;
    const int error = -errno;
    close(fd);
    return error;
}

int dial(const struct tg_caller *caller, const tg_address *address)
{
    int fd = begin(caller, address);
    for (int i = 1; fd == -EADDRNOTAVAIL && caller->listener->as_client != 0 && i < STAND_IN_TRIES; i++)
        fd = begin(caller, address);
    return fd;
}

int dial_result(const struct tg_side *side, bool answered, bool troubled)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (!answered)
        return -EINPROGRESS;
    if (!troubled && side->writable)
        return 0;
    if (getsockopt(side->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        return -errno;
    return error != 0 || side->writable ? -error : -EINPROGRESS;
}
