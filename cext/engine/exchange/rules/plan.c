#include "exchange/rules/plan.h"

#include <errno.h>
#include <stdlib.h>

#include "base/address.h"
#include "exchange/rules/hedge.h"
#include "mirror/copy.h"
#include "requests.h"
#include "state.h"

bool plan_make(struct tg_worker *worker, struct tg_exchange *exchange, struct tg_site *site,
               const struct http_head *head, const char *bytes, const tg_address *peer)
{
    struct tg_plan *plan = malloc(sizeof *plan);
    if (plan == NULL)
        return false;
    plan->original = NULL;
    plan->answer = NULL;
    plan->cluster = NULL;
    plan->hedge = NULL;
    plan->tried_count = 0;
    plan->gate = (struct plan_gate){0};
    plan->is_trying = plan->is_admitted = plan->is_pending = plan->is_repeated = false;
    plan->sticky = (struct tg_sticky){0};
    if (route_decide(site, head, bytes, worker_random(worker), &plan->outcome) == ROUTE_ASK)
        (void)route_ask(&worker->engine->door, head, bytes, peer, &plan->outcome);
    exchange->plan = plan;
    return sticky_find(worker, plan, head, bytes, peer);
}

int plan_enter(struct tg_worker *worker, struct tg_plan *plan)
{
    if (plan->outcome.cluster == TG_NO_CLUSTER)
        return 0;
    plan->cluster = clusters_find(&worker->engine->clusters, (uint32_t)plan->outcome.cluster);
    if (plan->cluster == NULL)
        return -ENOENT;
    cluster_request(plan->cluster, worker->index, worker->now_us);
    plan->is_admitted = limit_take(plan->cluster, TG_LIMIT_REQUESTS);
    return plan->is_admitted ? 0 : -EBUSY;
}

static int32_t find(const struct tg_cluster *cluster, const tg_address *address)
{
    for (uint32_t i = 0; i < cluster->asked.endpoint_count; i++)
        if (cluster->endpoints[i].weight != 0 && address_equal(&cluster->endpoints[i].address, address))
            return (int32_t)i;
    return PICK_NONE;
}

static bool was_tried(const struct tg_plan *plan, uint32_t endpoint)
{
    for (uint32_t i = 0; i < plan->tried_count; i++)
        if (plan->tried[i] == endpoint)
            return true;
    return false;
}

enum plan_pick plan_pick(struct tg_worker *worker, struct tg_plan *plan, const tg_address *present)
{
    const struct tg_sticky *sticky = &plan->sticky;
    int32_t found = plan->tried_count == 0 ? sticky_choose(worker, plan) : PICK_NONE;
    if (found < 0 && present != NULL && sticky_is_free(sticky))
        found = find(plan->cluster, present);
    if (found < 0)
        found = cluster_pick(plan->cluster, worker->index, sticky->is_hashed ? &sticky->hash : NULL, plan->tried,
                             plan->tried_count, worker_random(worker), worker->now_us);
    if (found < 0)
        return found == PICK_FULL ? PLAN_FULL : PLAN_NO_ENDPOINT;
    plan->endpoint = (uint32_t)found;
    plan->began_us = worker->now_us;
    plan->is_trying = true;
    endpoint_began(plan->cluster, worker->index, plan->endpoint);
    sticky_chose(worker, plan);
    return PLAN_PICKED;
}

void plan_unpick(struct tg_worker *worker, struct tg_plan *plan)
{
    plan->is_trying = false;
    endpoint_ended(plan->cluster, worker->index, plan->endpoint, TG_REQUEST_CANCELLED, 0, worker->now_us);
}

void plan_unwait(struct tg_plan *plan)
{
    if (plan->is_pending)
        limit_give(plan->cluster, TG_LIMIT_PENDING);
    plan->is_pending = false;
}

bool plan_has_another(const struct tg_plan *plan)
{
    uint32_t there = 0;
    for (uint32_t i = 0; i < plan->cluster->asked.endpoint_count && there == 0; i++)
        there += plan->cluster->endpoints[i].weight != 0 && !was_tried(plan, i);
    return there > 0;
}

/* The limit of retries at one time: asked before the budget, which is used up by asking. */
static bool is_within_limit(struct tg_plan *plan)
{
    plan->is_repeated = plan->is_repeated || limit_take(plan->cluster, TG_LIMIT_RETRIES);
    return plan->is_repeated;
}

static bool is_within_budget(struct tg_worker *worker, const struct tg_exchange *exchange)
{
    struct tg_plan *plan = exchange->plan;
    const tg_retry *retry = &plan_rule(plan)->retry;
    const struct tg_allowance allowance = {retry->budget_percent, retry->budget_per_s};
    return exchange->attempts <= retry->attempts && is_within_limit(plan) &&
           cluster_may_repeat(plan->cluster, worker->index, TG_BUDGET_RETRY, &allowance, worker->now_us);
}

bool plan_repeats(struct tg_worker *worker, const struct tg_exchange *exchange, enum tg_retry_on failure)
{
    struct tg_plan *plan = exchange->plan;
    if (plan == NULL || plan->cluster == NULL || (plan_rule(plan)->retry.on & failure) == 0)
        return false;
    /* A connection that could not be made has cost the endpoint nothing. */
    if (failure == TG_RETRY_CONNECT)
        return exchange->attempts <= plan_rule(plan)->retry.attempts && is_within_limit(plan);
    return is_within_budget(worker, exchange);
}

bool plan_repeats_status(struct tg_worker *worker, const struct tg_exchange *exchange)
{
    const struct tg_plan *plan = exchange->plan;
    const uint32_t bit = (uint32_t)exchange->status - TG_FIRST_STATUS;
    if (plan == NULL || plan->cluster == NULL || bit >= 8 * sizeof plan_rule(plan)->retry.statuses)
        return false;
    return (plan_rule(plan)->retry.statuses[bit / 32] >> bit % 32 & 1) != 0 && is_within_budget(worker, exchange);
}

/* Full jitter: anything up to the bound, which doubles with each attempt. */
uint64_t plan_backoff_ms(struct tg_worker *worker, const struct tg_exchange *exchange)
{
    const tg_retry *retry = &plan_rule(exchange->plan)->retry;
    uint64_t bound_ms = retry->backoff_ms;
    for (unsigned i = 1; i < exchange->attempts && bound_ms < retry->longest_backoff_ms; i++)
        bound_ms *= 2;
    if (bound_ms > retry->longest_backoff_ms)
        bound_ms = retry->longest_backoff_ms;
    return bound_ms == 0 ? 0 : worker_random(worker) % (bound_ms + 1);
}

void plan_answered(struct tg_worker *worker, const struct tg_exchange *exchange)
{
    const struct tg_plan *plan = exchange->plan;
    if (plan == NULL || !plan->is_trying)
        return;
    const uint64_t sent_us = exchange->sent_us == 0 ? plan->began_us : exchange->sent_us;
    endpoint_answered(plan->cluster, worker->index, plan->endpoint, exchange->status,
                      worker->now_us > sent_us ? worker->now_us - sent_us : 0, worker->now_us);
}

void plan_outlived(struct tg_worker *worker, const struct tg_exchange *exchange)
{
    const struct tg_plan *plan = exchange->plan;
    endpoint_outlived(plan->cluster, worker->index, plan->endpoint, worker->now_us - plan->began_us, worker->now_us);
}

void plan_unhedge(struct tg_worker *worker, struct tg_plan *plan, enum tg_request_end how)
{
    struct tg_hedge *hedge = plan->hedge;
    if (hedge == NULL)
        return;
    plan->hedge = NULL;
    endpoint_ended(plan->cluster, worker->index, hedge->endpoint, how, worker->now_us - hedge->began_us,
                   worker->now_us);
    upstream_close(worker, hedge->upstream, true);
    free(hedge->out);
    free(hedge);
}

void plan_leave(struct tg_worker *worker, struct tg_exchange *exchange, enum tg_request_end how)
{
    struct tg_plan *plan = exchange->plan;
    if (plan == NULL || !plan->is_trying)
        return;
    plan->is_trying = false;
    plan_unwait(plan);
    if (plan->tried_count < PLAN_TRIED)
        plan->tried[plan->tried_count++] = plan->endpoint;
    endpoint_ended(plan->cluster, worker->index, plan->endpoint, how, worker->now_us - plan->began_us, worker->now_us);
}

enum tg_request_end plan_how_ended(const struct tg_exchange *exchange)
{
    if (exchange->answer == ANSWER_DONE && !exchange->is_ours)
        return TG_REQUEST_DONE;
    if (exchange->flags & TG_FLAG_UT)
        return TG_REQUEST_TIMED_OUT;
    return exchange->flags & (TG_FLAG_UC | TG_FLAG_UPE | TG_FLAG_UR) ? TG_REQUEST_RESET : TG_REQUEST_CANCELLED;
}

void plan_end(struct tg_worker *worker, struct tg_exchange *exchange)
{
    struct tg_plan *plan = exchange->plan;
    if (plan == NULL)
        return;
    plan_leave(worker, exchange, plan_how_ended(exchange));
    plan_unwait(plan);
    plan_unhedge(worker, plan, TG_REQUEST_CANCELLED);
    if (plan->is_repeated)
        limit_give(plan->cluster, TG_LIMIT_RETRIES);
    if (plan->is_admitted)
        limit_give(plan->cluster, TG_LIMIT_REQUESTS);
    if (plan->cluster != NULL)
        cluster_release(plan->cluster);
    if (plan->outcome.mirror_count > 0) /* it never was as whole as they need it */
        copy_drop(worker, plan->outcome.mirror_count);
    route_release(&plan->outcome);
    sticky_end(&plan->sticky);
    free(plan->original);
    free(plan->answer);
    free(plan);
    exchange->plan = NULL;
}
