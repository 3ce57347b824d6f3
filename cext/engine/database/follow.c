#include "database/follow.h"

#include "database/mysql.h"
#include "database/postgres.h"
#include "database/redis.h"

enum { PG_VERSION = 196608, PG_CANCEL = 80877102, PG_SSL = 80877103, PG_GSS = 80877104 };

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_redis(const uint8_t *bytes, size_t length)
{
    size_t at = 1;
    if (length < 4 || bytes[0] != '*' || !is_digit(bytes[1]))
        return false;
    while (at < length && is_digit(bytes[at]))
        at++;
    return at + 1 < length && bytes[at] == '\r' && bytes[at + 1] == '\n' && (at + 2 == length || bytes[at + 2] == '$');
}

static bool is_postgres(const uint8_t *bytes, size_t length)
{
    if (length < 8)
        return false;
    const uint32_t size = follow_u32(bytes), code = follow_u32(bytes + 4);
    if (code == PG_SSL || code == PG_GSS)
        return size == 8;
    return code >> 16 == PG_VERSION >> 16 && size >= 8 && size <= 10000;
}

/* The greeting: a packet of number 0, protocol 10, a version in text. */
static bool is_mysql(const uint8_t *bytes, size_t length)
{
    return length >= 6 && bytes[2] == 0 && bytes[3] == 0 && bytes[4] == 10 && is_digit(bytes[5]);
}

enum database follow_guess(int from, const uint8_t *bytes, size_t length)
{
    if (from == UPSTREAM)
        return is_mysql(bytes, length) ? DATABASE_MYSQL : DATABASE_NONE;
    if (is_redis(bytes, length))
        return DATABASE_REDIS;
    return is_postgres(bytes, length) ? DATABASE_POSTGRES : DATABASE_NONE;
}

bool follow_saw(struct follow *follow, int from, const uint8_t *bytes, size_t length, uint64_t now_us, follow_tell tell,
                void *context)
{
    const struct follow_place place = {follow, from, now_us, tell, context};
    struct follow_side *side = &follow->side[from];
    while (length > 0) {
        size_t taken;
        if (side->skip > 0) {
            taken = side->skip < length ? (size_t)side->skip : length;
            side->skip -= taken;
        } else if (follow->database == DATABASE_REDIS) {
            taken = redis_saw(&place, bytes, length);
        } else if (follow->database == DATABASE_POSTGRES) {
            taken = postgres_saw(&place, bytes, length);
        } else {
            taken = mysql_saw(&place, bytes, length);
        }
        if (taken == 0)
            return false;
        bytes += taken;
        length -= taken;
    }
    return true;
}
