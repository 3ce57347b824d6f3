#include "exchange/head/added.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "base/address.h"
#include "requests.h"
#include "state.h"

static bool has(const struct http_head *head, const char *bytes, const char *name)
{
    const size_t length = strlen(name);
    for (uint32_t i = 0; i < head->headers; i++) {
        const struct span *one = &head->header[i].name;
        if (one->length == length && strncasecmp(bytes + one->at, name, length) == 0)
            return true;
    }
    return false;
}

/* A line of its own, as HAProxy writes it: to a reader the same as one more item of the list that came. */
static size_t forwarded_for(const tg_address *peer, char *out, size_t room)
{
    struct sockaddr_storage address;
    char text[INET6_ADDRSTRLEN];
    (void)address_to(peer, &address);
    const void *ip = address.ss_family == AF_INET6 ? (const void *)&((struct sockaddr_in6 *)&address)->sin6_addr
                                                   : (const void *)&((struct sockaddr_in *)&address)->sin_addr;
    if (inet_ntop(address.ss_family, ip, text, sizeof text) == NULL)
        return 0;
    return (size_t)snprintf(out, room, "X-Forwarded-For: %s\r\n", text);
}

/* A random UUID. Without randomness there is none that differs from all others: the request goes on without. */
static size_t request_id(char *out, size_t room)
{
    uint8_t id[16];
    if (getrandom(id, sizeof id, GRND_NONBLOCK) != sizeof id)
        return 0;
    id[6] = (id[6] & 0x0f) | 0x40;
    id[8] = (id[8] & 0x3f) | 0x80;
    return (size_t)snprintf(
        out, room, "x-request-id: %02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\r\n", id[0],
        id[1], id[2], id[3], id[4], id[5], id[6], id[7], id[8], id[9], id[10], id[11], id[12], id[13], id[14], id[15]);
}

size_t added_lines(const struct tg_worker *worker, const struct tg_connection *connection, const struct http_head *head,
                   const char *bytes, char out[ADDED_ROOM])
{
    const uint32_t wanted = atomic_load_explicit(&worker->engine->adds_headers, memory_order_relaxed);
    const uint32_t here = connection->listener.inbound ? TG_FORWARDED_INBOUND : TG_FORWARDED_OUTBOUND;
    size_t length = 0;
    if (wanted & here)
        length += forwarded_for(&connection->peer, out, ADDED_ROOM);
    if ((wanted & TG_REQUEST_ID) && !has(head, bytes, "x-request-id"))
        length += request_id(out + length, ADDED_ROOM - length);
    return length;
}

int tg_engine_add_headers(tg_engine *engine, uint32_t which)
{
    if (which & ~(uint32_t)(TG_FORWARDED_INBOUND | TG_FORWARDED_OUTBOUND | TG_REQUEST_ID))
        return -EINVAL;
    atomic_store(&engine->adds_headers, which);
    return 0;
}
