#include "route/heads/cors.h"

#include <string.h>

static bool is_all(const struct tg_site *site, tg_piece piece)
{
    return piece.length == 1 && *site_text(site, piece) == '*';
}

static bool is_host_part(struct text_part text)
{
    for (uint32_t i = 0; i < text.length; i++)
        if (text.at[i] == '/' || text.at[i] == ':')
            return false;
    return text.length > 0;
}

/* A star within a pattern stands for any labels of a host, at least one character. */
static bool is_origin(struct text_part pattern, struct text_part origin)
{
    const char *star = memchr(pattern.at, '*', pattern.length);

    if (star == NULL)
        return pattern.length == origin.length && memcmp(pattern.at, origin.at, origin.length) == 0;
    const uint32_t before = (uint32_t)(star - pattern.at), after = pattern.length - before - 1;

    if (origin.length <= before + after)
        return false;
    return memcmp(origin.at, pattern.at, before) == 0 &&
           memcmp(origin.at + origin.length - after, star + 1, after) == 0 &&
           is_host_part((struct text_part){origin.at + before, origin.length - before - after});
}

static bool allows_all(const struct tg_site *site, const tg_cors *cors)
{
    for (uint32_t i = 0; i < cors->origins.count; i++)
        if (is_all(site, site->spec.pieces[cors->origins.first + i]))
            return true;
    return false;
}

static bool allows(const struct tg_site *site, const tg_cors *cors, struct text_part origin)
{
    if (allows_all(site, cors))
        return true;
    for (uint32_t i = 0; i < cors->origins.count; i++)
        if (is_origin(text_of_piece(site, site->spec.pieces[cors->origins.first + i]), origin))
            return true;
    return false;
}

void cors_judge(struct route_outcome *outcome, const tg_cors *cors, const struct http_head *head, const char *bytes)
{
    const struct text_part origin = head_value(head, bytes, "origin");

    if (origin.at == NULL || origin.length == 0 || origin.length > ROUTE_MAX_ORIGIN ||
        !allows(outcome->site, cors, origin))
        return;
    outcome->cors_allows = true;
    outcome->origin_length = (uint16_t)origin.length;
    memcpy(outcome->origin, origin.at, origin.length);
}

bool cors_is_preflight(const struct http_head *head, const char *bytes)
{
    return head->method.length == 7 && memcmp(bytes + head->method.at, "OPTIONS", 7) == 0 &&
           head_value(head, bytes, "origin").at != NULL &&
           head_value(head, bytes, "access-control-request-method").at != NULL;
}

static bool is_for_all(const struct route_outcome *outcome, const tg_cors *cors)
{
    return allows_all(outcome->site, cors) && !cors->credentials;
}

/* The same in all answers. */
static void allow_origin(const struct route_outcome *outcome, const tg_cors *cors, struct lines *lines)
{
    const struct text_part origin = {outcome->origin, outcome->origin_length};

    lines_set(lines, text_of("access-control-allow-origin"), is_for_all(outcome, cors) ? text_of("*") : origin);
    if (cors->credentials)
        lines_set(lines, text_of("access-control-allow-credentials"), text_of("true"));
}

/* An answer that names one origin is not for others, which caches have to know. */
static void tell_caches(const struct route_outcome *outcome, const tg_cors *cors, struct lines *lines)
{
    if (!is_for_all(outcome, cors))
        lines_add(lines, text_of("vary"), text_of("Origin"));
}

/* "*" is no wildcard for a browser that sends credentials: it gets what it asks for. */
static void allow_list(const struct route_outcome *outcome, const tg_cors *cors, tg_piece list, const char *name,
                       struct text_part asked, struct lines *lines)
{
    struct text_part value = text_of_piece(outcome->site, list);

    if (cors->credentials && is_all(outcome->site, list))
        value = asked;
    if (value.at != NULL && value.length > 0)
        lines_set(lines, text_of(name), value);
}

void cors_answer(const struct route_outcome *outcome, const tg_cors *cors, const struct http_head *head,
                 const char *bytes, struct lines *lines)
{
    if (!outcome->cors_allows)
        return;
    allow_origin(outcome, cors, lines);
    allow_list(outcome, cors, cors->methods, "access-control-allow-methods",
               head_value(head, bytes, "access-control-request-method"), lines);
    allow_list(outcome, cors, cors->headers, "access-control-allow-headers",
               head_value(head, bytes, "access-control-request-headers"), lines);
    lines_set(lines, text_of("access-control-max-age"), text_of_piece(outcome->site, cors->max_age));
    tell_caches(outcome, cors, lines);
}

void cors_edit(const struct route_outcome *outcome, const tg_cors *cors, struct lines *lines)
{
    if (!outcome->cors_allows)
        return;
    allow_origin(outcome, cors, lines);
    if (cors->exposed.length > 0)
        lines_set(lines, text_of("access-control-expose-headers"), text_of_piece(outcome->site, cors->exposed));
    tell_caches(outcome, cors, lines);
}
