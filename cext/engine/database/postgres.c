/* PostgreSQL's protocol 3: after the startup, messages of a type, a length and so many bytes. */
#include "database/postgres.h"

#include <string.h>

enum { STARTUP, MESSAGES, ONE_BYTE };
enum { QUERY = 1, EXECUTE, SYNC, MARK = 15, NAMED = 16 };
enum { PG_SSL = 80877103, PG_GSS = 80877104, LONGEST = 1 << 30, WITH_LENGTH = 5 };

static size_t startup(const struct follow_place *place, const uint8_t *bytes, size_t length)
{
    struct follow_side *side = &place->follow->side[DOWNSTREAM];
    const size_t taken = follow_collect(side, 8, bytes, length);
    if (side->have < 8)
        return taken;
    const uint32_t size = follow_u32(side->head), code = follow_u32(side->head + 4);
    follow_forget(side);
    if (code == PG_SSL || code == PG_GSS) {
        place->follow->side[UPSTREAM].state = ONE_BYTE;
        return taken;
    }
    if (size < 8 || size > LONGEST || code >> 16 != 3)
        return 0;
    side->skip = size - 8;
    side->state = MESSAGES;
    return taken;
}

static const uint8_t *body_of(const struct follow_side *side)
{
    return side->head + WITH_LENGTH;
}

static uint16_t kind_of_parse(const struct follow_side *side)
{
    const size_t length = side->have - WITH_LENGTH;
    const uint8_t *end = memchr(body_of(side), 0, length); /* of the statement's name */
    if (end == NULL)
        return kind_named(DATABASE_POSTGRES, body_of(side), 0);
    const size_t from = (size_t)(end - body_of(side)) + 1;
    return kind_of_sql(DATABASE_POSTGRES, end + 1, length - from);
}

static bool requested(const struct follow_place *place, struct follow_side *side)
{
    struct follow *follow = place->follow;
    switch (side->head[0]) {
    case 'Q':
        return follow_ask(follow, kind_of_sql(DATABASE_POSTGRES, body_of(side), side->have - WITH_LENGTH), QUERY,
                          place->now_us);
    case 'P':
        side->left = kind_of_parse(side);
        return true;
    case 'E':
        return follow_ask(follow, (uint16_t)side->left, EXECUTE, place->now_us);
    case 'F':
        return follow_ask(follow, kind_named(DATABASE_POSTGRES, body_of(side), 0), QUERY, place->now_us);
    case 'S':
        return follow_ask(follow, 0, SYNC, place->now_us);
    default:
        return true;
    }
}

/* The server's own word for what it has done: of a query of several statements, the first one's. */
static void completed(const struct follow_place *place, const struct follow_side *side)
{
    struct follow_asked *oldest = follow_oldest(place->follow);
    const size_t length = side->have - WITH_LENGTH;
    size_t end = 0;
    while (end < length && body_of(side)[end] >= 'A' && body_of(side)[end] <= 'Z')
        end++;
    if ((oldest->mark & NAMED) == 0)
        oldest->kind = kind_named(DATABASE_POSTGRES, body_of(side), end);
    oldest->mark |= NAMED;
    if ((oldest->mark & MARK) == EXECUTE)
        follow_answer(place->follow, false, place->now_us, place->tell, place->context);
}

/* What was sent before the next Sync is not executed. */
static void forget_unexecuted(struct follow *follow)
{
    for (struct follow_asked *next; (next = follow_oldest(follow)) != NULL && (next->mark & MARK) == EXECUTE;)
        follow_drop(follow);
}

static bool answered(const struct follow_place *place, const struct follow_side *side)
{
    struct follow *follow = place->follow;
    struct follow_asked *oldest = follow_oldest(follow);
    if (side->head[0] == 'W') /* a stream of replication */
        return false;
    if (oldest == NULL)
        return true;
    const uint8_t mark = oldest->mark & MARK;
    switch (side->head[0]) {
    case 'C':
        if (mark != SYNC)
            completed(place, side);
        break;
    case 'I':
    case 's':
        if (mark == EXECUTE)
            follow_answer(follow, false, place->now_us, place->tell, place->context);
        break;
    case 'E':
        oldest->failed = true;
        if (mark == EXECUTE) {
            follow_answer(follow, true, place->now_us, place->tell, place->context);
            forget_unexecuted(follow);
        }
        break;
    case 'Z':
        forget_unexecuted(follow);
        oldest = follow_oldest(follow);
        if (oldest != NULL && (oldest->mark & MARK) == QUERY)
            follow_answer(follow, false, place->now_us, place->tell, place->context);
        else if (oldest != NULL)
            follow_drop(follow);
        break;
    default:
        break;
    }
    return true;
}

/* Passwords and rows are not looked at: only the messages that say which statement it is. */
static bool is_read(int from, uint8_t type)
{
    return from == DOWNSTREAM ? type == 'Q' || type == 'P' : type == 'C';
}

size_t postgres_saw(const struct follow_place *place, const uint8_t *bytes, size_t length)
{
    struct follow_side *side = &place->follow->side[place->from];
    if (place->from == DOWNSTREAM && side->state == STARTUP)
        return startup(place, bytes, length);
    if (side->state == ONE_BYTE) { /* whether it agrees to encryption; an error ends it, too */
        side->state = MESSAGES;
        return bytes[0] == 'N' ? 1 : 0;
    }
    size_t taken = 0;
    if (side->have < WITH_LENGTH)
        taken = follow_collect(side, WITH_LENGTH, bytes, length);
    if (side->have < WITH_LENGTH)
        return taken;
    const uint32_t size = follow_u32(side->head + 1);
    if (size < 4 || size > LONGEST)
        return 0;
    const size_t body = size - 4;
    const size_t room = FOLLOW_HEAD - WITH_LENGTH;
    const size_t read = !is_read(place->from, side->head[0]) ? 0 : body < room ? body : room;
    taken += follow_collect(side, WITH_LENGTH + read, bytes + taken, length - taken);
    if (side->have < WITH_LENGTH + read)
        return taken;
    side->skip = body - read;
    const bool followed = place->from == DOWNSTREAM ? requested(place, side) : answered(place, side);
    follow_forget(side);
    return followed ? taken : 0;
}
