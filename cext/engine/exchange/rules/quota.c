#include "exchange/rules/quota.h"

#include "exchange/reply.h"
#include "exchange/rules/plan.h"
#include "requests.h"

enum { WAITING_AT_ONCE = 8 /* requests that look for a connection in a millisecond */ };

bool quota_admit(struct tg_worker *worker, struct tg_relay *relay, struct tg_taken *taken)
{
    struct tg_talk *talk = relay->talk;
    struct tg_plan *plan = talk->exchange.plan;
    const uint64_t now_ms = worker->now_us / 1000;
    if (plan == NULL || plan->cluster == NULL)
        return true;
    plan->is_pending = plan->is_pending || limit_take(plan->cluster, TG_LIMIT_PENDING);
    if (!plan->is_pending) {
        reply(worker, relay, 503, TG_FLAG_UO, "as many requests as allowed wait for a connection");
        return false;
    }
    if (taken_take(plan->cluster, plan->endpoint, taken))
        return true;
    if (idle_give_up_of(worker, plan->cluster->usage) && taken_take(plan->cluster, plan->endpoint, taken))
        return true;
    if (talk->connect_deadline_ms != 0 && now_ms >= talk->connect_deadline_ms) {
        reply(worker, relay, 503, TG_FLAG_UO, "no connection was free in time");
        return false;
    }
    /* Another endpoint may have a place when it looks again. */
    plan_unpick(worker, plan);
    talk->retry_ms = now_ms + 1 + limit_now(plan->cluster, TG_LIMIT_PENDING) / WAITING_AT_ONCE;
    return false;
}
