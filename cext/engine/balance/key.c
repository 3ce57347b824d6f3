#include "balance/key.h"

#include <string.h>
#include <strings.h>

#include "balance/dice.h"
#include "http/cookie.h"
#include "route/path.h"
#include "route/spec.h"

/* A header that came more than once is the list of its values, as for rules. */
static bool of_header(const struct tg_cluster *cluster, const struct http_head *head, const char *bytes, uint64_t *hash)
{
    const uint32_t length = cluster->asked.hash_name_length;
    uint64_t found = DICE_HASH_BEGIN;
    bool came = false;
    for (uint32_t i = 0; i < head->headers; i++) {
        const struct header *header = &head->header[i];
        if (header->name.length != length || strncasecmp(bytes + header->name.at, cluster->hash_name, length) != 0)
            continue;
        if (came)
            found = dice_hash_more(found, ", ", 2);
        found = dice_hash_more(found, bytes + header->value.at, header->value.length);
        came = true;
    }
    *hash = dice_mix(found);
    return came;
}

static bool of_cookie(const struct tg_cluster *cluster, const struct http_head *head, const char *bytes, uint64_t *hash)
{
    struct span value;
    if (!cookie_find(head, bytes, cluster->hash_name, cluster->asked.hash_name_length, &value))
        return false;
    *hash = dice_hash(bytes + value.at, value.length);
    return true;
}

/* Of a repeated parameter the first one counts. */
static bool of_parameter(const struct tg_cluster *cluster, const struct http_head *head, const char *bytes,
                         uint64_t *hash)
{
    char room[TG_LONGEST_TARGET];
    const struct text_part query = target_split(bytes + head->target.at, head->target.length).query;
    if (query.length > sizeof room)
        return false;
    for (uint32_t at = 1, end; at < query.length; at = end + 1) {
        for (end = at; end < query.length && query.at[end] != '&';)
            end++;
        if (end == at)
            continue;
        const char *equals = memchr(query.at + at, '=', end - at);
        const uint32_t stop = equals == NULL ? end : (uint32_t)(equals - query.at);
        const struct text_part name = query_decode((struct text_part){query.at + at, stop - at}, room);
        if (name.length != cluster->asked.hash_name_length || memcmp(name.at, cluster->hash_name, name.length) != 0)
            continue;
        struct text_part value = {room, 0};
        if (equals != NULL)
            value = query_decode((struct text_part){equals + 1, end - stop - 1}, room);
        *hash = dice_hash(value.at, value.length);
        return true;
    }
    return false;
}

bool key_hash(const struct tg_cluster *cluster, const struct http_head *head, const char *bytes, const tg_address *peer,
              uint64_t *hash)
{
    switch (cluster->asked.hash_by) {
    case TG_HASH_HEADER:
        return of_header(cluster, head, bytes, hash);
    case TG_HASH_COOKIE:
        return of_cookie(cluster, head, bytes, hash);
    case TG_HASH_PARAMETER:
        return of_parameter(cluster, head, bytes, hash);
    case TG_HASH_SOURCE:
        *hash = dice_hash(peer->ip, peer->family == 4 ? 4 : sizeof peer->ip);
        return true;
    default:
        return false;
    }
}
