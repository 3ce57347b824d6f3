#include "exchange/asked/told.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { GRPC_DIGITS = 8, ROOM = 10 /* of a value: eight digits and a unit, or milliseconds of 32 bits */ };

#define MOST_US (UINT64_C(1) << 52)

enum kind { TOLD_NOT, TOLD_GRPC, TOLD_TIMEOUT, TOLD_EXPECTED, TOLD_OWN };

static bool is_name(const char *name, size_t length, const char *known, size_t known_length)
{
    return length == known_length && strncasecmp(name, known, length) == 0;
}

static enum kind kind_of(const char *name, size_t length, const char *own, size_t own_length)
{
    if (is_name(name, length, "grpc-timeout", 12))
        return TOLD_GRPC;
    if (is_name(name, length, "x-envoy-upstream-rq-timeout-ms", 30))
        return TOLD_TIMEOUT;
    if (is_name(name, length, "x-envoy-expected-rq-timeout-ms", 30))
        return TOLD_EXPECTED;
    return own_length > 0 && is_name(name, length, own, own_length) ? TOLD_OWN : TOLD_NOT;
}

/* False: these are not digits alone. What is too long to count is long enough. */
static bool number_of(const char *digits, size_t length, uint64_t *out)
{
    if (length == 0)
        return false;
    *out = 0;
    for (size_t i = 0; i < length; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return false;
        if (*out < MOST_US)
            *out = *out * 10 + (uint64_t)(digits[i] - '0');
    }
    return true;
}

static bool grpc_us(const char *value, size_t length, uint64_t *out)
{
    uint64_t number;
    if (length < 2 || length > GRPC_DIGITS + 1 || !number_of(value, length - 1, &number))
        return false;
    switch (value[length - 1]) {
    case 'H':
        *out = number * 3600000000;
        return true;
    case 'M':
        *out = number * 60000000;
        return true;
    case 'S':
        *out = number * 1000000;
        return true;
    case 'm':
        *out = number * 1000;
        return true;
    case 'u':
        *out = number;
        return true;
    case 'n':
        *out = number / 1000;
        return true;
    default:
        return false;
    }
}

/* False: it sets no deadline, or is not what it should be. */
static bool limit_us(enum kind kind, const char *value, size_t length, uint64_t *out)
{
    if (kind == TOLD_GRPC)
        return grpc_us(value, length, out);
    if (!number_of(value, length, out) || (kind == TOLD_TIMEOUT && *out == 0))
        return false;
    *out = *out >= MOST_US / 1000 ? MOST_US : *out * 1000;
    return true;
}

bool told_read(struct tg_exchange *exchange, const struct http_head *head, const char *bytes, const char *own,
               uint32_t own_length, uint64_t now_us)
{
    uint64_t shortest_us = MOST_US;
    uint64_t one_us;
    bool is_known = false;
    for (uint32_t i = 0; i < head->headers; i++) {
        const struct span name = head->header[i].name, value = head->header[i].value;
        const enum kind kind = kind_of(bytes + name.at, name.length, own, own_length);
        if (kind == TOLD_NOT || !limit_us(kind, bytes + value.at, value.length, &one_us))
            continue;
        is_known = true;
        if (one_us < shortest_us)
            shortest_us = one_us;
    }
    if (!is_known || shortest_us >= MOST_US)
        return true;
    exchange->is_expired = shortest_us == 0;
    const uint64_t until_ms = (now_us + shortest_us + 999) / 1000;
    exchange->told = malloc(sizeof *exchange->told + own_length);
    if (exchange->told == NULL)
        return false;
    *exchange->told = (struct tg_told){.until_us = now_us + shortest_us, .own_length = own_length};
    memcpy(exchange->told->own, own, own_length);
    if (exchange->deadline_ms == 0 || until_ms < exchange->deadline_ms) {
        exchange->deadline_ms = until_ms;
        exchange->is_told_when = true;
    } else {
        exchange->told->until_us = exchange->deadline_ms * 1000;
    }
    return true;
}

/* Where the value of a header's line begins, and its length without blanks at the end. */
static size_t value_of(const char *line, size_t length, size_t colon, size_t *at)
{
    *at = colon + 1;
    while (*at < length && (line[*at] == ' ' || line[*at] == '\t'))
        (*at)++;
    while (length > *at && strchr(" \t\r\n", line[length - 1]) != NULL)
        length--;
    return length - *at;
}

struct tg_buffer *told_prepare(struct tg_told *told, struct tg_buffer *edited)
{
    const char *from = (const char *)edited->data;
    struct tg_buffer *made = malloc(sizeof *made + edited->end + (size_t)TOLD_MOST * ROOM);
    size_t done = 0;
    if (made == NULL) {
        free(edited);
        return NULL;
    }
    *made = (struct tg_buffer){.size = edited->end + (size_t)TOLD_MOST * ROOM};
    told->count = 0;
    while (done < edited->end) {
        const char *line = from + done;
        const char *newline = memchr(line, '\n', edited->end - done);
        const size_t length = newline == NULL ? edited->end - done : (size_t)(newline - line) + 1;
        const char *colon = memchr(line, ':', length);
        const enum kind kind =
            colon == NULL || done == 0 ? TOLD_NOT : kind_of(line, (size_t)(colon - line), told->own, told->own_length);
        size_t copied = length;
        if (kind != TOLD_NOT && told->count < TOLD_MOST) {
            size_t at;
            const size_t width = value_of(line, length, (size_t)(colon - line), &at);
            const size_t more = width < ROOM ? ROOM - width : 0;
            told->values[told->count].at = (uint32_t)(made->end + at);
            told->values[told->count].width = (uint32_t)(width + more);
            told->values[told->count++].is_grpc = kind == TOLD_GRPC;
            memcpy(made->data + made->end, line, at + width);
            memset(made->data + made->end + at + width, ' ', more);
            made->end += at + width + more;
            copied = length - at - width;
        }
        memcpy(made->data + made->end, line + length - copied, copied);
        made->end += copied;
        done += length;
    }
    free(edited);
    return made;
}

/* In the finest unit that eight digits hold. */
static int write_grpc(char *out, size_t room, uint64_t left_us)
{
    static const struct {
        uint64_t us;
        char letter;
    } UNITS[] = {{1, 'u'}, {1000, 'm'}, {1000000, 'S'}, {60000000, 'M'}, {3600000000, 'H'}};
    if (left_us < 100000)
        return snprintf(out, room, "%" PRIu64 "n", left_us * 1000);
    size_t unit = 0;
    while (left_us / UNITS[unit].us > 99999999)
        unit++;
    return snprintf(out, room, "%" PRIu64 "%c", left_us / UNITS[unit].us, UNITS[unit].letter);
}

void told_write(const struct tg_told *told, struct tg_buffer *head, uint64_t now_us)
{
    const uint64_t left_us = told->until_us > now_us ? told->until_us - now_us : 0;
    const uint64_t left_ms = left_us < 2000 ? 1 : left_us / 1000;
    for (uint32_t i = 0; i < told->count; i++) {
        char value[32];
        const int length = told->values[i].is_grpc ? write_grpc(value, sizeof value, left_us)
                                                   : snprintf(value, sizeof value, "%" PRIu64, left_ms);
        char *place = (char *)head->data + told->values[i].at;
        if (length < 0 || (uint32_t)length > told->values[i].width)
            continue;
        memset(place, ' ', told->values[i].width);
        memcpy(place, value, (size_t)length);
    }
}
