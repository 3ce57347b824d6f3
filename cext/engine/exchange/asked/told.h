/* Deadlines that come with requests: read, and passed on with what is left of them. The definition is
 * proxy/core/resilience/deadline.py. For the owning worker only. */
#ifndef TG_TOLD_H
#define TG_TOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "exchange/exchange.h"
#include "http/head.h"

enum { TOLD_MOST = 4 };

/* Where the values stand in the head that is sent, blanks behind them included. Counted from its first byte. */
struct tg_told {
    uint64_t until_us;
    uint32_t own_length;
    uint32_t count;
    struct {
        uint32_t at;
        uint32_t width;
        bool is_grpc;
    } values[TOLD_MOST];
    char own[]; /* the policy's header, in lower case */
};

/* Whether a header of that name may set a deadline that is always known. Asked of each header of each request. */
static inline bool told_may_be(const char *name, uint32_t length)
{
    return (length == 12 && (*name | 0x20) == 'g') || (length == 30 && (*name | 0x20) == 'x');
}

/* The shortest deadline of the head holds, if it is shorter than the exchange's own so far. own: the policy's header in
 * lower case, or of length 0. False: no memory, and no deadline holds. */
bool told_read(struct tg_exchange *exchange, const struct http_head *head, const char *bytes, const char *own,
               uint32_t own_length, uint64_t now_us);

/* The same head with room for the values, in the place of `edited`, which is given over. NULL: no memory, and `edited`
 * is gone. */
struct tg_buffer *told_prepare(struct tg_told *told, struct tg_buffer *edited);

/* What is left is written into the head, which is about to be sent. */
void told_write(const struct tg_told *told, struct tg_buffer *head, uint64_t now_us);

#endif
