#include "route/given.h"

#include <string.h>

#include "route/hash.h"

static struct given *get(struct givens *givens, uint32_t name)
{
    for (uint32_t i = 0; i < givens->count; i++)
        if (givens->all[i].name == name)
            return &givens->all[i];
    return NULL;
}

const struct given *givens_get(const struct givens *givens, uint32_t name)
{
    return get((struct givens *)givens, name);
}

static void take_headers(struct givens *givens, const struct tg_site *site, const struct http_head *head,
                         const char *bytes)
{
    for (uint32_t i = 0; i < head->headers; i++) {
        const struct span name = head->header[i].name, value = head->header[i].value;
        const uint32_t number = names_find(&site->names, site->spec.text, TG_HEADER, bytes + name.at, name.length);

        if (number == ROUTE_NONE)
            continue;
        struct given *one = get(givens, number);

        givens->next[i] = -1;
        if (one == NULL) {
            one = &givens->all[givens->count++];
            *one = (struct given){number, hash_more(HASH_BEGIN, bytes + value.at, value.length), {0}, (int16_t)i, 0};
        } else {
            one->hash = hash_more(hash_more(one->hash, ", ", 2), bytes + value.at, value.length);
            givens->next[one->last] = (int16_t)i;
        }
        one->last = (int16_t)i;
    }
}

/* Of a repeated parameter the first one counts. */
static void take_parameter(struct givens *givens, const struct tg_site *site, struct text_part part, char *room)
{
    const char *equals = memchr(part.at, '=', part.length);
    const uint32_t length = equals == NULL ? part.length : (uint32_t)(equals - part.at);
    const struct text_part name = query_decode((struct text_part){part.at, length}, room);
    const uint32_t number = names_find(&site->names, site->spec.text, TG_PARAMETER, name.at, name.length);

    if (number == ROUTE_NONE || get(givens, number) != NULL)
        return;
    if (givens->count == GIVEN_MOST) {
        givens->too_many = true;
        return;
    }
    struct text_part value = {part.at + part.length, 0};
    if (equals != NULL)
        value = query_decode((struct text_part){equals + 1, part.length - length - 1}, room + length);
    givens->all[givens->count++] = (struct given){number, hash_more(HASH_BEGIN, value.at, value.length), value, -1, -1};
}

static void take_parameters(struct givens *givens, const struct tg_site *site, struct text_part query, char *room)
{
    for (uint32_t at = 1, end; at < query.length; at = end + 1) {
        end = at;
        while (end < query.length && query.at[end] != '&')
            end++;
        if (end > at)
            take_parameter(givens, site, (struct text_part){query.at + at, end - at}, room + at);
    }
}

void givens_find(struct givens *givens, const struct tg_site *site, const struct http_head *head, const char *bytes,
                 struct text_part query, char *room)
{
    givens->count = 0;
    givens->found = true;
    givens->too_many = false;
    if (site->names.has[TG_HEADER])
        take_headers(givens, site, head, bytes);
    if (site->names.has[TG_PARAMETER] && query.length > 0)
        take_parameters(givens, site, query, room);
}

bool given_is(const struct givens *givens, const struct given *one, const struct http_head *head, const char *bytes,
              const char *value, uint32_t length)
{
    if (one->header < 0)
        return one->value.length == length && (length == 0 || memcmp(one->value.at, value, length) == 0);
    uint32_t at = 0;

    for (int16_t i = one->header; i >= 0; i = givens->next[i]) {
        const struct span part = head->header[i].value;

        if (i != one->header) {
            if (length - at < 2 || memcmp(value + at, ", ", 2) != 0)
                return false;
            at += 2;
        }
        if (length - at < part.length || memcmp(value + at, bytes + part.at, part.length) != 0)
            return false;
        at += part.length;
    }
    return at == length;
}

bool given_meets(const struct tg_site *site, tg_range conditions, const struct http_head *head, const char *bytes)
{
    struct givens givens;
    char no_query;
    if (conditions.count == 0)
        return true;
    givens_find(&givens, site, head, bytes, (struct text_part){&no_query, 0}, &no_query);
    for (uint32_t i = conditions.first; i < conditions.first + conditions.count; i++) {
        const tg_piece wanted = site->spec.conditions[i].value;
        const struct given *given = givens_get(&givens, site->name_of[i]);
        if (given == NULL || !given_is(&givens, given, head, bytes, site_text(site, wanted), wanted.length))
            return false;
    }
    return true;
}
