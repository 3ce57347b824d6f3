/* The protocol of MySQL and MariaDB: packets of a length and a number; a client's packet of number 0 is a command, and
 * the server's packet of number 1 begins the answer. */
#include "database/mysql.h"

#include <string.h>

enum { GREETED, COMMANDS };
enum { WITH_NUMBER = 4, COMPRESS = 0x20, SSL = 0x800, ZSTD = 1 << 26, ATTRIBUTES = 1 << 27 };
enum {
    QUIT = 0x01,
    INIT_DB = 0x02,
    QUERY = 0x03,
    STATISTICS = 0x09,
    PING = 0x0e,
    CHANGE_USER = 0x11,
    BINLOG_DUMP = 0x12,
    PREPARE = 0x16,
    EXECUTE = 0x17,
    LONG_DATA = 0x18,
    CLOSE = 0x19,
    RESET = 0x1a,
    FETCH = 0x1c,
    BINLOG_DUMP_GTID = 0x1e,
    RESET_CONNECTION = 0x1f
};

static uint16_t named(const char *name)
{
    return kind_named(DATABASE_MYSQL, (const uint8_t *)name, strlen(name));
}

/* attributes: of a query may stand before its text; where there are any, the text is not looked for. */
static uint16_t kind_of_query(const uint8_t *body, size_t length, bool attributes)
{
    if (!attributes)
        return kind_of_sql(DATABASE_MYSQL, body, length);
    if (length < 2 || body[0] != 0 || body[1] != 1)
        return named("OTHER");
    return kind_of_sql(DATABASE_MYSQL, body + 2, length - 2);
}

/* Of commands that are answered. */
static uint16_t kind_of(const uint8_t *body, size_t length, bool attributes)
{
    switch (body[0]) {
    case INIT_DB:
        return named("INIT DB");
    case QUERY:
        return kind_of_query(body + 1, length - 1, attributes);
    case STATISTICS:
        return named("STATISTICS");
    case PING:
        return named("PING");
    case CHANGE_USER:
        return named("CHANGE USER");
    case PREPARE:
        return named("PREPARE");
    case EXECUTE:
        return named("EXECUTE");
    case RESET:
    case RESET_CONNECTION:
        return named("RESET");
    case FETCH:
        return named("FETCH");
    default:
        return named("OTHER");
    }
}

/* The client's first packet says what it can do. False: it goes on in a way that can't be followed. */
static bool agreed(struct follow_side *side, size_t length)
{
    const uint8_t *body = side->head + WITH_NUMBER;
    if (length < 4)
        return false;
    const uint32_t flags = (uint32_t)body[3] << 24 | (uint32_t)body[2] << 16 | (uint32_t)body[1] << 8 | body[0];
    side->left = (flags & ATTRIBUTES) != 0;
    side->state = COMMANDS;
    return (flags & (COMPRESS | SSL | ZSTD)) == 0;
}

static bool requested(const struct follow_place *place, struct follow_side *side, size_t length)
{
    const uint8_t *body = side->head + WITH_NUMBER;
    if (side->state == GREETED)
        return agreed(side, length);
    if (side->head[3] != 0 || length == 0)
        return true;
    switch (body[0]) {
    case BINLOG_DUMP:
    case BINLOG_DUMP_GTID:
        return false;
    case QUIT:
    case LONG_DATA:
    case CLOSE:
        return true;
    default:
        return follow_ask(place->follow, kind_of(body, length, side->left != 0), 0, place->now_us);
    }
}

/* How many bytes of a packet are looked at: credentials and rows are not. */
static size_t looked_at(const struct follow_place *place, const struct follow_side *side)
{
    if (place->from == UPSTREAM)
        return side->head[3] == 1 ? 1 : 0;
    if (side->state == GREETED)
        return 4;
    if (side->head[3] != 0)
        return 0;
    if (side->have > WITH_NUMBER && side->head[WITH_NUMBER] == QUERY)
        return FOLLOW_HEAD - WITH_NUMBER;
    return 1;
}

size_t mysql_saw(const struct follow_place *place, const uint8_t *bytes, size_t length)
{
    struct follow_side *side = &place->follow->side[place->from];
    size_t taken = 0;
    if (side->have < WITH_NUMBER)
        taken = follow_collect(side, WITH_NUMBER, bytes, length);
    if (side->have < WITH_NUMBER)
        return taken;
    const size_t body = (size_t)side->head[0] | (size_t)side->head[1] << 8 | (size_t)side->head[2] << 16;
    size_t read = 0;
    for (size_t wanted; (wanted = looked_at(place, side)) > read && read < body;) { /* the first byte may want more */
        read = wanted < body ? wanted : body;
        taken += follow_collect(side, WITH_NUMBER + read, bytes + taken, length - taken);
        if (side->have < WITH_NUMBER + read)
            return taken;
    }
    side->skip = body - read;
    bool followed = true;
    if (place->from == DOWNSTREAM)
        followed = requested(place, side, read);
    else if (side->head[3] == 1 && read > 0)
        follow_answer(place->follow, side->head[WITH_NUMBER] == 0xff, place->now_us, place->tell, place->context);
    follow_forget(side);
    return followed ? taken : 0;
}
