#include "explicit/target.h"

#include <string.h>
#include <strings.h>

static const char SCHEME[] = "http://";

static bool has_scheme(const char *target, size_t length)
{
    size_t at = 0;
    while (at < length && target[at] != ':' && target[at] != '/' && target[at] != '?')
        at++;
    return at > 0 && length - at >= 3 && memcmp(target + at, "://", 3) == 0;
}

static bool is_authority(const char *bytes, struct span span)
{
    for (uint32_t i = 0; i < span.length; i++)
        if (bytes[span.at + i] <= ' ' || bytes[span.at + i] > '~' || strchr("@#/?\\", bytes[span.at + i]) != NULL)
            return false;
    return span.length > 0;
}

enum aimed aim_of(const struct http_head *head, const char *bytes, bool connects, struct aim *aim)
{
    const char *target = bytes + head->target.at;
    const uint32_t length = head->target.length;
    *aim = (struct aim){.authority = head->target};
    if (connects)
        return is_authority(bytes, aim->authority) ? AIMED_WELL : AIMED_BADLY;
    if (!has_scheme(target, length))
        return AIMED_NOWHERE;
    if (length < strlen(SCHEME) || strncasecmp(target, SCHEME, strlen(SCHEME)) != 0)
        return AIMED_SCHEME;
    uint32_t end = (uint32_t)strlen(SCHEME);
    while (end < length && target[end] != '/' && target[end] != '?' && target[end] != '#')
        end++;
    aim->authority = (struct span){head->target.at + (uint32_t)strlen(SCHEME), end - (uint32_t)strlen(SCHEME)};
    aim->rest = (struct span){head->target.at + end, length - end};
    const bool has_fragment = memchr(target, '#', length) != NULL;
    return !has_fragment && is_authority(bytes, aim->authority) ? AIMED_WELL : AIMED_BADLY;
}

size_t aim_room(const struct http_head *head, const struct aim *aim)
{
    return head->length + aim->authority.length + 16;
}

static char *copy(char *out, const char *from, size_t length)
{
    memcpy(out, from, length);
    return out + length;
}

static bool is_named(const char *bytes, const struct header *header, const char *name)
{
    return header->name.length == strlen(name) && strncasecmp(bytes + header->name.at, name, header->name.length) == 0;
}

/* RFC 9112, 3.2.4: of a target without path and query, the asterisk is what OPTIONS means. */
static char *write_target(const struct http_head *head, const char *bytes, const struct aim *aim, char *out)
{
    const bool asks_options = head->method.length == 7 && memcmp(bytes + head->method.at, "OPTIONS", 7) == 0;
    if (aim->rest.length == 0)
        return copy(out, asks_options ? "*" : "/", 1);
    if (bytes[aim->rest.at] != '/')
        out = copy(out, "/", 1);
    return copy(out, bytes + aim->rest.at, aim->rest.length);
}

size_t aim_write(const struct http_head *head, const char *bytes, const struct aim *aim, char *out)
{
    char *const begin = out;
    const char *authority = bytes + aim->authority.at;
    const uint32_t empty_line = head->length - (bytes[head->length - 2] == '\r' ? 2 : 1);
    const uint32_t behind_target = head->target.at + head->target.length;
    const uint32_t first_line_end = head->headers > 0 ? head->header[0].name.at : empty_line;
    bool has_host = false;

    out = copy(out, bytes, head->target.at);
    out = write_target(head, bytes, aim, out);
    out = copy(out, bytes + behind_target, first_line_end - behind_target);
    for (uint32_t i = 0; i < head->headers; i++) {
        const struct header *header = &head->header[i];
        const uint32_t line_end = i + 1 < head->headers ? head->header[i + 1].name.at : empty_line;
        if (is_named(bytes, header, "proxy-connection") || is_named(bytes, header, "proxy-authorization"))
            continue;
        if (!is_named(bytes, header, "host")) {
            out = copy(out, bytes + header->name.at, line_end - header->name.at);
            continue;
        }
        /* RFC 9112, 3.2.2: what the target says holds, whatever stands here. */
        has_host = true;
        out = copy(out, bytes + header->name.at, header->name.length);
        out = copy(out, ": ", 2);
        out = copy(out, authority, aim->authority.length);
        out = copy(out, "\r\n", 2);
    }
    if (!has_host) {
        out = copy(out, "host: ", 6);
        out = copy(out, authority, aim->authority.length);
        out = copy(out, "\r\n", 2);
    }
    return (size_t)(copy(out, bytes + empty_line, head->length - empty_line) - begin);
}
