#include "exchange/asked/until.h"

#include "exchange/asked/told.h"
#include "exchange/rules/plan.h"

bool until_take(struct tg_worker *worker, struct tg_relay *relay, const struct http_head *head, const char *bytes,
                bool may_be_told)
{
    struct tg_exchange *exchange = &relay->talk->exchange;
    const struct tg_plan *plan = exchange->plan;
    const char *own = "";
    uint32_t own_length = 0;
    if (plan != NULL) {
        const tg_request_policy *policy = site_policy(plan->outcome.site);
        if (plan->outcome.kind != ROUTE_FORWARD)
            return true;
        if (plan_rule(plan)->request_ms != 0)
            exchange->deadline_ms = worker->now_us / 1000 + plan_rule(plan)->request_ms;
        if (policy != NULL && policy->deadline_header.length > 0) {
            own = site_text(plan->outcome.site, policy->deadline_header);
            own_length = policy->deadline_header.length;
        }
    }
    const bool is_asked =
        (plan != NULL || relay->connection->ruling->asked.action == TG_RELAY) && !relay->connection->listener.inbound;
    if (!is_asked || (!may_be_told && own_length == 0))
        return true;
    return told_read(exchange, head, bytes, own, own_length, worker->now_us);
}
