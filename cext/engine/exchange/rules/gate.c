#include "exchange/rules/gate.h"

#include <string.h>
#include <strings.h>

#include "balance/dice.h"
#include "exchange/reply.h"
#include "exchange/rules/plan.h"
#include "limits/callers.h"
#include "requests.h"
#include "route/given.h"

#define SHED_SALT UINT64_C(0xa0761d6478bd642f)
#define PARTS 9007199254740992.0 /* 2^53 */

/* From 0 up to but not including 100. */
static double draw(uint64_t number)
{
    return (double)(number >> 11) / PARTS * 100.0;
}

static bool is_chance(struct tg_worker *worker, double percent)
{
    return percent > 0 && draw(dice_mix(worker_random(worker))) < percent;
}

/* The value of the first header of that name. False: there is none. */
static bool find(const struct tg_site *site, tg_piece name, const struct http_head *head, const char *bytes,
                 struct span *value)
{
    for (uint32_t i = 0; i < head->headers; i++) {
        const struct header *one = &head->header[i];
        if (one->name.length == name.length &&
            strncasecmp(bytes + one->name.at, site_text(site, name), name.length) == 0) {
            *value = one->value;
            return true;
        }
    }
    return false;
}

/* A caller that is shed at a percentage is shed at every higher one: proxy/core/resilience/shedding.py. */
static bool is_shed(struct tg_worker *worker, const struct tg_site *site, const struct http_head *head,
                    const char *bytes)
{
    const tg_request_policy *policy = site_policy(site);
    struct span value;
    if (policy->shed_percent <= 0)
        return false;
    if (policy->shed_header.length > 0 && find(site, policy->shed_header, head, bytes, &value))
        return draw(dice_mix(dice_hash(bytes + value.at, value.length) ^ SHED_SALT)) < policy->shed_percent;
    return is_chance(worker, policy->shed_percent);
}

/* Nanoseconds until there is a token; 0: there was one. Each route has buckets of its own, and in them each value of
 * the header; requests without the header are one caller. */
static uint64_t limited_ns(struct tg_worker *worker, const struct tg_plan *plan, const struct http_head *head,
                           const char *bytes)
{
    const struct tg_site *site = plan->outcome.site;
    const tg_request_policy *policy = site_policy(site);
    const tg_piece route = plan_rule(plan)->route;
    struct span value;
    if (site->callers == NULL)
        return 0;
    uint64_t key = dice_hash(site_text(site, route), route.length);
    if (policy->rate_header.length > 0 && find(site, policy->rate_header, head, bytes, &value))
        key = dice_mix(key ^ dice_hash(bytes + value.at, value.length));
    return callers_admit(site->callers, key, policy->rate_per_s, policy->rate_burst, worker->now_us);
}

void gate_judge(struct tg_worker *worker, struct tg_exchange *exchange, const struct http_head *head, const char *bytes)
{
    struct tg_plan *plan = exchange->plan;
    const struct tg_site *site = plan->outcome.site;
    const tg_request_policy *policy = site_policy(site);
    struct plan_gate *gate = &plan->gate;
    if (is_shed(worker, site, head, bytes)) {
        *gate = (struct plan_gate){.status = 503, .flag = TG_FLAG_DO};
        return;
    }
    const uint64_t over_ns = limited_ns(worker, plan, head, bytes);
    if (over_ns > 0) {
        const uint64_t after_s = (over_ns + 999999999) / 1000000000;
        *gate = (struct plan_gate){.status = 429, .flag = TG_FLAG_RL, .retry_after_s = (uint32_t)after_s};
        return;
    }
    const bool may_delay = policy->delay_ms != 0 && policy->delay_percent > 0;
    if ((!may_delay && policy->abort_percent <= 0) || !given_meets(site, policy->fault_conditions, head, bytes))
        return;
    if (may_delay && is_chance(worker, policy->delay_percent))
        gate->delay_ms = policy->delay_ms;
    if (is_chance(worker, policy->abort_percent)) {
        gate->status = (uint16_t)policy->abort_status;
        gate->flag = TG_FLAG_FI;
    }
}

static bool answer(struct tg_worker *worker, struct tg_relay *relay)
{
    const struct plan_gate gate = relay->talk->exchange.plan->gate;
    switch (gate.flag) {
    case TG_FLAG_DO:
        reply(worker, relay, gate.status, gate.flag, "the request was shed");
        break;
    case TG_FLAG_RL:
        reply_later(worker, relay, gate.status, gate.flag, gate.retry_after_s, "the rate limit is reached");
        break;
    default:
        reply(worker, relay, gate.status, gate.flag, "a fault on purpose");
    }
    return false;
}

bool gate_pass(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_exchange *exchange = &relay->talk->exchange;
    const struct plan_gate *gate = &exchange->plan->gate;
    if (gate->delay_ms != 0) {
        exchange->flags |= TG_FLAG_DI;
        exchange->held_until_ms = worker->now_us / 1000 + gate->delay_ms;
        return false;
    }
    return gate->status == 0 || answer(worker, relay);
}

bool gate_step(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_exchange *exchange = &relay->talk->exchange;
    if (worker->now_us / 1000 < exchange->held_until_ms)
        return false;
    exchange->held_until_ms = 0;
    return exchange->plan->gate.status == 0 || answer(worker, relay);
}
