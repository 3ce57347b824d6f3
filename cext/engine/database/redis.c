/* RESP2 and RESP3: requests are arrays of strings, answers are values. Both are lines, some of which are followed by so
 * many bytes. */
#include "database/redis.h"

#include <string.h>
#include <strings.h>

enum { AT_LINE, AT_NAME, IN_LONG_LINE };
enum { MOST_VALUES = 1 << 30 };

/* A line's number. False: it is none, or beyond what is allowed. */
static bool number_of(const struct follow_side *side, int64_t *number)
{
    int64_t found = 0;
    const bool negative = side->have > 1 && side->head[1] == '-';
    const size_t begin = negative ? 2 : 1;
    if (side->have < begin + 3)
        return false;
    for (size_t at = begin; at < side->have - 2; at++) {
        if (side->head[at] < '0' || side->head[at] > '9' || found > ((int64_t)1 << 50))
            return false;
        found = found * 10 + side->head[at] - '0';
    }
    *number = negative ? -found : found;
    return true;
}

static bool is_name(const struct follow_side *side, const char *name)
{
    return side->have == strlen(name) && strncasecmp((const char *)side->head, name, side->have) == 0;
}

/* After these, answers are no longer one for each request. */
static bool ends_order(const struct follow_side *side)
{
    static const char *const names[] = {"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "SYNC", "PSYNC", "REPLY"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (is_name(side, names[i]))
            return true;
    return false;
}

/* The first word of a request is there; of CLIENT the second one, too, which may be REPLY. */
static bool named(const struct follow_place *place, struct follow_side *side)
{
    if (ends_order(side))
        return false;
    if (side->pushed) {
        side->pushed = false;
        return true;
    }
    side->pushed = is_name(side, "CLIENT") && side->left > 0;
    return follow_ask(place->follow, kind_named(DATABASE_REDIS, side->head, side->have), 0, place->now_us);
}

static bool request_line(const struct follow_place *place, struct follow_side *side)
{
    int64_t number;
    if (side->left == 0) {
        if (side->head[0] == '*') {
            if (!number_of(side, &number) || number > MOST_VALUES)
                return false;
            side->left = number > 0 ? (uint64_t)number : 0;
            side->failed = true; /* here: the next value is the first one */
            return true;
        }
        side->have -= 2; /* in a line of its own: words with blanks between them */
        const uint8_t *blank = memchr(side->head, ' ', side->have);
        if (blank != NULL)
            side->have = (uint32_t)(blank - side->head);
        return side->have == 0 || named(place, side);
    }
    if (side->head[0] != '$' || !number_of(side, &number) || number < 0)
        return false;
    side->left--;
    if (side->failed || side->pushed) {
        side->state = AT_NAME;
        side->size = (uint64_t)number;
    } else {
        side->skip = (uint64_t)number + 2;
    }
    side->failed = false;
    return true;
}

static bool answer_line(const struct follow_place *place, struct follow_side *side)
{
    int64_t number = 0;
    const uint8_t type = side->head[0];
    const bool is_top = side->left == 0;
    if (is_top) {
        side->left = 1;
        side->failed = type == '-' || type == '!';
        side->pushed = type == '>';
    }
    if (memchr("*%~>|$=!", type, 8) != NULL && !number_of(side, &number))
        return false;
    if (number > MOST_VALUES)
        return false;
    const uint64_t values = number > 0 ? (uint64_t)number : 0;
    switch (type) {
    case '+':
    case '-':
    case ':':
    case '_':
    case '#':
    case ',':
    case '(':
        break;
    case '$':
    case '=':
    case '!':
        if (number >= 0)
            side->skip = values + 2;
        break;
    case '*':
    case '~':
    case '>':
        side->left += values;
        break;
    case '%':
        side->left += 2 * values;
        break;
    case '|':
        side->left += 2 * values + 1; /* the value that they are attributes of */
        break;
    default:
        return false;
    }
    if (side->left > (uint64_t)MOST_VALUES * 4)
        return false;
    side->left--;
    if (side->left == 0 && !side->pushed)
        follow_answer(place->follow, side->failed, place->now_us, place->tell, place->context);
    return true;
}

/* A line of which more than the head is there: only texts are so long, and of an error the first byte says enough. */
static size_t long_line(struct follow_side *side, const uint8_t *bytes, size_t length)
{
    const uint8_t *end = memchr(bytes, '\n', length);
    if (end == NULL)
        return length;
    side->state = AT_LINE;
    side->head[FOLLOW_HEAD - 1] = '\n';
    return (size_t)(end - bytes) + 1;
}

/* The line's end, of which this may be all that comes, is taken with an empty name. */
static size_t name(const struct follow_place *place, struct follow_side *side, const uint8_t *bytes, size_t length)
{
    const size_t wanted = side->size < FOLLOW_HEAD ? (size_t)side->size : FOLLOW_HEAD;
    const size_t taken = follow_collect(side, wanted, bytes, length);
    if (side->have < wanted)
        return taken;
    side->state = AT_LINE;
    side->skip = side->size - wanted + 2;
    const bool followed = named(place, side);
    follow_forget(side);
    if (followed && taken == 0)
        side->skip--;
    return !followed ? 0 : taken == 0 ? 1 : taken;
}

size_t redis_saw(const struct follow_place *place, const uint8_t *bytes, size_t length)
{
    struct follow_side *side = &place->follow->side[place->from];
    size_t taken;
    if (side->state == AT_NAME)
        return name(place, side, bytes, length);
    if (side->state == IN_LONG_LINE) {
        taken = long_line(side, bytes, length);
        if (side->state == IN_LONG_LINE)
            return taken;
    } else {
        const uint8_t *end = memchr(bytes, '\n', length);
        const size_t line = end == NULL ? length : (size_t)(end - bytes) + 1;
        taken = follow_collect(side, FOLLOW_HEAD, bytes, line);
        if (side->head[side->have - 1] != '\n') {
            if (side->have == FOLLOW_HEAD)
                side->state = IN_LONG_LINE;
            return taken;
        }
    }
    if (side->have < 2 || (side->have < FOLLOW_HEAD && side->head[side->have - 2] != '\r'))
        return 0;
    const bool followed = place->from == DOWNSTREAM ? request_line(place, side) : answer_line(place, side);
    follow_forget(side);
    return followed ? taken : 0;
}
