#include "route/heads/change.h"

#include <string.h>

static struct text_part stripped(struct text_part text)
{
    while (text.length > 0 && text.at[text.length - 1] == '/')
        text.length--;
    return text;
}

static void write_part(struct writer *writer, struct text_part part)
{
    write_bytes(writer, part.at, part.length);
}

/* A target's path begins with a slash, whatever the rule says. */
static void write_path(struct writer *writer, struct text_part first, struct text_part rest)
{
    const struct text_part begin = first.length > 0 ? first : rest;

    if (begin.length == 0 || begin.at[0] != '/')
        write_text(writer, "/");
    write_part(writer, first);
    write_part(writer, rest);
}

/* /foo/bar with /foo -> /xyz is /xyz/bar, and /foo alone is /xyz or /xyz/ as the rule wrote it. */
static void write_new_path(struct writer *writer, const struct route_outcome *outcome, const tg_change *change,
                           struct text_part came)
{
    const tg_site_rule *rule = &outcome->site->spec.rules[outcome->rule];
    const struct text_part value = text_of_piece(outcome->site, change->path);
    char room[TG_LONGEST_TARGET + 1];

    if (change->bits & TG_NEW_PATH) {
        write_path(writer, value, (struct text_part){NULL, 0});
        return;
    }
    const struct text_part path = path_normal(came, room);
    const uint32_t matched = rule->path_kind == TG_PREFIX ? rule->path.length : path.length;
    const struct text_part rest = {path.at + matched, path.length - matched};

    write_path(writer, rest.length == 0 ? value : stripped(value), rest);
}

void change_target(const struct route_outcome *outcome, const tg_change *change, const struct http_head *head,
                   const char *bytes, struct writer *writer)
{
    const struct target_parts parts = target_split(bytes + head->target.at, head->target.length);

    if (change->bits & (TG_NEW_PATH | TG_NEW_PREFIX))
        write_new_path(writer, outcome, change, parts.path);
    else
        write_part(writer, parts.path);
    write_part(writer, parts.query);
}

/* Digits behind the last colon, unless that stands within the brackets of an IPv6 address. */
static struct text_part without_port(struct text_part authority)
{
    uint32_t at = authority.length;

    while (at > 0 && authority.at[at - 1] >= '0' && authority.at[at - 1] <= '9')
        at--;
    if (at == authority.length || at < 2 || authority.at[at - 1] != ':')
        return authority;
    const struct text_part host = {authority.at, at - 1};
    const bool is_plain = memchr(host.at, ':', host.length) == NULL;

    return is_plain || host.at[host.length - 1] == ']' ? host : authority;
}

static int32_t usual_port(struct text_part scheme)
{
    if (scheme.length == 4 && memcmp(scheme.at, "http", 4) == 0)
        return 80;
    return scheme.length == 5 && memcmp(scheme.at, "https", 5) == 0 ? 443 : 0;
}

static void write_origin(struct writer *writer, const struct route_outcome *outcome, const tg_filters *filters,
                         struct text_part host)
{
    const tg_site_spec *spec = &outcome->site->spec;
    const bool says_scheme = filters->redirect_scheme.length > 0;
    struct text_part scheme = text_of(spec->flags & TG_HTTPS ? "https" : "http");
    int32_t port = (int32_t)spec->port;

    if (says_scheme) {
        scheme = text_of_piece(outcome->site, filters->redirect_scheme);
        port = usual_port(scheme);
    }
    if (filters->redirect_port != 0)
        port = filters->redirect_port;
    write_part(writer, scheme);
    write_text(writer, "://");
    write_part(writer, host);
    if (port != usual_port(scheme)) {
        write_text(writer, ":");
        write_number(writer, (uint64_t)port);
    }
}

void change_location(const struct route_outcome *outcome, const tg_filters *filters, const struct http_head *head,
                     const char *bytes, struct writer *writer)
{
    const struct target_parts parts = target_split(bytes + head->target.at, head->target.length);
    struct text_part host = parts.authority.at != NULL ? parts.authority : head_value(head, bytes, "host");

    host = filters->redirect.bits & TG_NEW_HOST ? text_of_piece(outcome->site, filters->redirect.host)
                                                : without_port(host);
    /* A client of HTTP/1.0 that names no host stays where it is. */
    if (host.length > 0)
        write_origin(writer, outcome, filters, host);
    if (filters->redirect.bits & (TG_NEW_PATH | TG_NEW_PREFIX)) {
        change_target(outcome, &filters->redirect, head, bytes, writer);
    } else if (parts.path.at[0] != '/') {
        write_text(writer, "/"); /* "*", or that of CONNECT */
    } else {
        write_part(writer, parts.path);
        write_part(writer, parts.query);
    }
}
