#include "relay/announce.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "relay/connection.h"
#include "relay/relay.h"
#include "state.h"

enum { PORTS = 65536, LONGEST = 108 /* a header of version 1, with a zero byte behind it */ };

static size_t append(char *out, size_t at, const void *bytes, size_t size)
{
    memcpy(out + at, bytes, size);
    return at + size;
}

static size_t write_v2(const tg_address *client, const tg_address *destination, char *out)
{
    static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";
    const size_t length = client->family == 4 ? 4 : 16;
    const unsigned char kind[] = {0x21, client->family == 4 ? 0x11 : 0x21, 0, (unsigned char)(2 * length + 4)};
    const uint16_t ports[] = {htons(client->port), htons(destination->port)};
    size_t at = append(out, 0, signature, sizeof signature - 1);
    at = append(out, at, kind, sizeof kind);
    at = append(out, at, client->ip, length);
    at = append(out, at, destination->ip, length);
    return append(out, at, ports, sizeof ports);
}

static size_t write_v1(const tg_address *client, const tg_address *destination, char *out)
{
    char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
    const int family = client->family == 4 ? AF_INET : AF_INET6;
    (void)inet_ntop(family, client->ip, from, sizeof from);
    (void)inet_ntop(family, destination->ip, to, sizeof to);
    return (size_t)snprintf(out, LONGEST, "PROXY TCP%d %s %s %u %u\r\n", client->family, from, to, client->port,
                            destination->port);
}

int announce(const struct tg_worker *worker, const struct tg_connection *connection, const tg_address *upstream, int fd)
{
    const unsigned char *versions = worker->engine->announced;
    char header[LONGEST];
    if (versions == NULL || connection->listener.inbound == 0)
        return 0;
    const int version = versions[upstream->port];
    if (version == 0)
        return 0;
    const size_t size = version == 1 ? write_v1(&connection->peer, &connection->original, header)
                                     : write_v2(&connection->peer, &connection->original, header);
    const ssize_t sent = send(fd, header, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0)
        return -errno;
    return (size_t)sent == size ? 0 : -ENOBUFS; /* the send buffer is empty, and larger than any header */
}

int tg_engine_announce(tg_engine *engine, uint16_t port, int version)
{
    if (version < 0 || version > 2)
        return -EINVAL;
    if (engine->announced == NULL)
        engine->announced = calloc(PORTS, 1);
    if (engine->announced == NULL)
        return -ENOMEM;
    engine->announced[port] = (unsigned char)version;
    return 0;
}
