#include "database/kinds.h"

#include <string.h>

struct kind {
    uint8_t database;
    char name[KIND_LONGEST];
};

#define R(text)                                                                                                        \
    {                                                                                                                  \
        DATABASE_REDIS, text                                                                                           \
    }
#define P(text)                                                                                                        \
    {                                                                                                                  \
        DATABASE_POSTGRES, text                                                                                        \
    }
#define M(text)                                                                                                        \
    {                                                                                                                  \
        DATABASE_MYSQL, text                                                                                           \
    }

/* By database, then by name, for the search. */
static const struct kind kinds[] = {
    R("APPEND"),      R("AUTH"),          R("BITCOUNT"), R("BITFIELD"), R("BITOP"),
    R("BITPOS"),      R("BLMOVE"),        R("BLPOP"),    R("BRPOP"),    R("BRPOPLPUSH"),
    R("BZPOPMAX"),    R("BZPOPMIN"),      R("CLIENT"),   R("CLUSTER"),  R("COMMAND"),
    R("CONFIG"),      R("COPY"),          R("DBSIZE"),   R("DECR"),     R("DECRBY"),
    R("DEL"),         R("DISCARD"),       R("DUMP"),     R("ECHO"),     R("EVAL"),
    R("EVALSHA"),     R("EXEC"),          R("EXISTS"),   R("EXPIRE"),   R("EXPIREAT"),
    R("FCALL"),       R("FLUSHALL"),      R("FLUSHDB"),  R("GEOADD"),   R("GEOSEARCH"),
    R("GET"),         R("GETDEL"),        R("GETEX"),    R("GETRANGE"), R("GETSET"),
    R("HDEL"),        R("HELLO"),         R("HEXISTS"),  R("HGET"),     R("HGETALL"),
    R("HINCRBY"),     R("HKEYS"),         R("HLEN"),     R("HMGET"),    R("HMSET"),
    R("HSCAN"),       R("HSET"),          R("HSETNX"),   R("HVALS"),    R("INCR"),
    R("INCRBY"),      R("INCRBYFLOAT"),   R("INFO"),     R("KEYS"),     R("LINDEX"),
    R("LLEN"),        R("LMOVE"),         R("LPOP"),     R("LPUSH"),    R("LRANGE"),
    R("LREM"),        R("LSET"),          R("LTRIM"),    R("MGET"),     R("MSET"),
    R("MSETNX"),      R("MULTI"),         R("OBJECT"),   R("OTHER"),    R("PERSIST"),
    R("PEXPIRE"),     R("PFADD"),         R("PFCOUNT"),  R("PING"),     R("PSETEX"),
    R("PTTL"),        R("PUBLISH"),       R("QUIT"),     R("RENAME"),   R("RPOP"),
    R("RPOPLPUSH"),   R("RPUSH"),         R("SADD"),     R("SCAN"),     R("SCARD"),
    R("SCRIPT"),      R("SDIFF"),         R("SELECT"),   R("SET"),      R("SETBIT"),
    R("SETEX"),       R("SETNX"),         R("SETRANGE"), R("SINTER"),   R("SISMEMBER"),
    R("SMEMBERS"),    R("SORT"),          R("SPOP"),     R("SREM"),     R("SSCAN"),
    R("STRLEN"),      R("SUNION"),        R("TIME"),     R("TOUCH"),    R("TTL"),
    R("TYPE"),        R("UNLINK"),        R("UNWATCH"),  R("WAIT"),     R("WATCH"),
    R("XACK"),        R("XADD"),          R("XLEN"),     R("XRANGE"),   R("XREAD"),
    R("XREADGROUP"),  R("ZADD"),          R("ZCARD"),    R("ZCOUNT"),   R("ZINCRBY"),
    R("ZRANGE"),      R("ZRANGEBYSCORE"), R("ZRANK"),    R("ZREM"),     R("ZREVRANGE"),
    R("ZSCAN"),       R("ZSCORE"),        P("ALTER"),    P("ANALYZE"),  P("BEGIN"),
    P("CALL"),        P("CLOSE"),         P("COMMIT"),   P("COPY"),     P("CREATE"),
    P("DEALLOCATE"),  P("DECLARE"),       P("DELETE"),   P("DISCARD"),  P("DO"),
    P("DROP"),        P("EXECUTE"),       P("EXPLAIN"),  P("FETCH"),    P("GRANT"),
    P("INSERT"),      P("LISTEN"),        P("LOCK"),     P("MERGE"),    P("NOTIFY"),
    P("OTHER"),       P("PREPARE"),       P("RELEASE"),  P("RESET"),    P("REVOKE"),
    P("ROLLBACK"),    P("SAVEPOINT"),     P("SELECT"),   P("SET"),      P("SHOW"),
    P("START"),       P("TRUNCATE"),      P("UPDATE"),   P("VACUUM"),   P("VALUES"),
    P("WITH"),        M("ALTER"),         M("ANALYZE"),  M("BEGIN"),    M("CALL"),
    M("CHANGE USER"), M("COMMIT"),        M("CREATE"),   M("DELETE"),   M("DROP"),
    M("EXECUTE"),     M("EXPLAIN"),       M("FETCH"),    M("GRANT"),    M("INIT DB"),
    M("INSERT"),      M("LOAD"),          M("LOCK"),     M("OTHER"),    M("PING"),
    M("PREPARE"),     M("RELEASE"),       M("REPLACE"),  M("RESET"),    M("ROLLBACK"),
    M("SAVEPOINT"),   M("SELECT"),        M("SET"),      M("SHOW"),     M("START"),
    M("STATISTICS"),  M("TRUNCATE"),      M("UNLOCK"),   M("UPDATE"),   M("USE"),
    M("WITH"),
};

enum { COUNT = sizeof kinds / sizeof kinds[0] };
_Static_assert((int)COUNT <= (int)DATABASE_KINDS, "a kind's number fits");

static uint8_t upper(uint8_t byte)
{
    return byte >= 'a' && byte <= 'z' ? (uint8_t)(byte - 'a' + 'A') : byte;
}

static int find(enum database database, const uint8_t *name, size_t length)
{
    char wanted[KIND_LONGEST] = {0};
    if (length >= sizeof wanted)
        return -1;
    for (size_t i = 0; i < length; i++)
        wanted[i] = (char)upper(name[i]);
    int low = 0, high = COUNT - 1;
    while (low <= high) {
        const int middle = (low + high) / 2;
        int order = (int)database - kinds[middle].database;
        if (order == 0)
            order = memcmp(wanted, kinds[middle].name, sizeof wanted);
        if (order == 0)
            return middle;
        if (order < 0)
            high = middle - 1;
        else
            low = middle + 1;
    }
    return -1;
}

uint16_t kind_named(enum database database, const uint8_t *name, size_t length)
{
    int found = find(database, name, length);
    if (found < 0)
        found = find(database, (const uint8_t *)"OTHER", 5);
    return (uint16_t)found;
}

static bool is_word(uint8_t byte)
{
    return upper(byte) >= 'A' && upper(byte) <= 'Z';
}

/* What stands before the first word. Where a comment goes on beyond the text, all of it is passed over. */
static size_t before_word(const uint8_t *text, size_t length)
{
    size_t at = 0;
    while (at < length && !is_word(text[at])) {
        if (text[at] == '-' && at + 1 < length && text[at + 1] == '-') {
            while (at < length && text[at] != '\n')
                at++;
        } else if (text[at] == '/' && at + 1 < length && text[at + 1] == '*') {
            at += 2;
            while (at < length && !(text[at - 1] == '*' && text[at] == '/'))
                at++;
            if (at < length)
                at++;
        } else if (text[at] == ' ' || text[at] == '\t' || text[at] == '\r' || text[at] == '\n' || text[at] == '(' ||
                   text[at] == ';') {
            at++;
        } else {
            return length;
        }
    }
    return at < length ? at : length;
}

uint16_t kind_of_sql(enum database database, const uint8_t *text, size_t length)
{
    const size_t from = before_word(text, length);
    size_t end = from;
    while (end < length && is_word(text[end]))
        end++;
    return kind_named(database, text + from, end - from);
}

const char *kind_name(uint16_t kind, enum database *database)
{
    if (kind >= COUNT)
        return NULL;
    *database = (enum database)kinds[kind].database;
    return kinds[kind].name;
}
