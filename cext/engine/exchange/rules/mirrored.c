#include "exchange/rules/mirrored.h"

#include "mirror/copy.h"

void mirrored_begin(struct tg_worker *worker, struct tg_relay *relay)
{
    const struct tg_connection *connection = relay->connection;
    const struct tg_exchange *exchange = &relay->talk->exchange;
    struct tg_plan *plan = exchange->plan;
    if (plan == NULL || plan->outcome.mirror_count == 0 || exchange->request != REQUEST_DONE || exchange->is_ours ||
        exchange->to_connect)
        return;
    const uint32_t count = plan->outcome.mirror_count;
    plan->outcome.mirror_count = 0;
    if (!exchange->is_whole) {
        copy_drop(worker, count);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct tg_copy_order order = {
            .cluster = plan->outcome.mirrors[i],
            .bytes = exchange->kept,
            .length = exchange->kept_length,
            .to_head = exchange->to_head,
            .listener = &connection->listener,
            .client = &connection->peer,
            .keepalive = &connection->ruling->asked.keepalive,
            .hops = connection->hops,
        };
        copy_begin(worker, &order);
    }
}
