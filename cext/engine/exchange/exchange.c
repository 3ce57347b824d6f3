#include "exchange/exchange.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void exchange_reset(struct tg_exchange *exchange)
{
    if (exchange->kept != exchange->small)
        free(exchange->kept);
    free(exchange->told);
    memset(exchange, 0, offsetof(struct tg_exchange, small));
    exchange->kept = exchange->small;
    exchange->kept_room = EXCHANGE_INLINE;
    exchange->minor = 1;
    exchange->is_whole = true;
}

bool exchange_keep(struct tg_exchange *exchange, const void *bytes, size_t length)
{
    const size_t wanted = exchange->kept_length + length;
    if (!exchange->is_whole)
        return false;
    if (wanted > exchange->kept_room) {
        char *larger = wanted > EXCHANGE_KEPT_MAX ? NULL : malloc(wanted);
        if (larger == NULL) {
            exchange->is_whole = false;
            return false;
        }
        memcpy(larger, exchange->kept, exchange->kept_length);
        if (exchange->kept != exchange->small)
            free(exchange->kept);
        exchange->kept = larger;
        exchange->kept_room = (uint32_t)wanted;
    }
    memcpy(exchange->kept + exchange->kept_length, bytes, length);
    exchange->kept_length = (uint32_t)wanted;
    return true;
}
