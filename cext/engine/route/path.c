#include "route/path.h"

#include <stddef.h>
#include <string.h>

static int hex_of(char character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    if (character >= 'A' && character <= 'F')
        return character - 'A' + 10;
    return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

static bool is_letter(char character)
{
    return (character >= 'A' && character <= 'Z') || (character >= 'a' && character <= 'z');
}

static bool is_digit(char character)
{
    return character >= '0' && character <= '9';
}

static bool is_unreserved(char character)
{
    return is_letter(character) || is_digit(character) || character == '-' || character == '.' || character == '_' ||
           character == '~';
}

/* The byte of an escape that begins at `at`; -1: there is none. */
static int escaped(struct text_part text, uint32_t at)
{
    if (text.at[at] != '%' || at + 2 >= text.length)
        return -1;
    const int high = hex_of(text.at[at + 1]), low = hex_of(text.at[at + 2]);

    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Where "://" of an absolute form begins; 0: it is none. */
static uint32_t scheme_end(const char *target, uint32_t length)
{
    uint32_t at = 0;

    if (length == 0 || !is_letter(target[0]))
        return 0;
    while (at < length && (is_letter(target[at]) || is_digit(target[at]) || target[at] == '+' || target[at] == '-' ||
                           target[at] == '.'))
        at++;
    return length - at >= 3 && memcmp(target + at, "://", 3) == 0 ? at : 0;
}

struct target_parts target_split(const char *target, uint32_t length)
{
    struct target_parts parts = {0};
    const uint32_t scheme = scheme_end(target, length);

    if (scheme > 0) {
        uint32_t at = scheme + 3;
        while (at < length && target[at] != '/' && target[at] != '?' && target[at] != '#')
            at++;
        parts.authority = (struct text_part){target + scheme + 3, at - scheme - 3};
        target += at;
        length -= at;
    }
    const char *mark = length == 0 ? NULL : memchr(target, '?', length);

    parts.path = (struct text_part){target, mark == NULL ? length : (uint32_t)(mark - target)};
    if (mark != NULL)
        parts.query = (struct text_part){mark, length - parts.path.length};
    if (parts.path.length == 0)
        parts.path = (struct text_part){"/", 1};
    return parts;
}

static struct text_part unescaped(struct text_part path, char *room)
{
    static const char CAPITALS[] = "0123456789ABCDEF";
    uint32_t length = 0;

    for (uint32_t at = 0; at < path.length; at++) {
        const int byte = escaped(path, at);

        if (byte >= 0 && is_unreserved((char)byte)) {
            room[length++] = (char)byte;
            at += 2;
        } else if (byte >= 0) {
            room[length++] = '%';
            room[length++] = CAPITALS[byte >> 4];
            room[length++] = CAPITALS[byte & 15];
            at += 2;
        } else {
            room[length++] = path.at[at];
        }
    }
    return (struct text_part){room, length};
}

static bool is_dots(const char *segment, uint32_t length)
{
    return (length == 1 && segment[0] == '.') || (length == 2 && segment[0] == '.' && segment[1] == '.');
}

/* Writes behind where it reads, so `room` may be the path itself. */
static struct text_part undotted(struct text_part path, char *room)
{
    uint32_t length = 0;

    for (uint32_t at = 0; at < path.length;) {
        uint32_t end = at + 1;
        while (end < path.length && path.at[end] != '/')
            end++;
        const char *segment = path.at + at + 1;
        const uint32_t of_segment = end - at - 1;

        if (!is_dots(segment, of_segment)) {
            memmove(room + length, path.at + at, end - at);
            length += end - at;
        } else {
            if (of_segment == 2) {
                while (length > 0 && room[--length] != '/')
                    ;
            }
            if (end == path.length)
                room[length++] = '/';
        }
        at = end;
    }
    return (struct text_part){room, length};
}

static bool has_dot_segments(struct text_part path)
{
    if (path.at[0] != '/')
        return false;
    for (uint32_t at = 0; at + 1 < path.length; at++)
        if (path.at[at] == '/' && path.at[at + 1] == '.')
            return true;
    return false;
}

struct text_part path_normal(struct text_part path, char *room)
{
    if (memchr(path.at, '%', path.length) != NULL)
        path = unescaped(path, room);
    return has_dot_segments(path) ? undotted(path, room) : path;
}

struct text_part query_decode(struct text_part part, char *room)
{
    uint32_t length = 0;

    for (uint32_t at = 0; at < part.length; at++) {
        const int byte = escaped(part, at);

        if (byte >= 0) {
            room[length++] = (char)byte;
            at += 2;
        } else {
            room[length++] = part.at[at] == '+' ? ' ' : part.at[at];
        }
    }
    return (struct text_part){room, length};
}
