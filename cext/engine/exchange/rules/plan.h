/* What the rules of its site say about a request, and the endpoint of the chosen cluster that it is on. Only requests
 * to a destination with rules have one, for as long as their exchange lasts. For the owning worker only. */
#ifndef TG_PLAN_H
#define TG_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "balance/pick.h"
#include "exchange/exchange.h"
#include "exchange/sticky.h"
#include "route/route.h"
#include "worker.h"

enum { PLAN_TRIED = 8 };

/* What a TrafficPolicy does with the request before it goes anywhere: rules/gate.h. */
struct plan_gate {
    uint32_t flag;   /* enum tg_exchange_flag: why it is answered */
    uint16_t status; /* that it is answered with; 0: it goes on */
    uint32_t retry_after_s;
    uint32_t delay_ms; /* before it is answered or goes on */
};

struct tg_hedge;

struct tg_plan {
    struct route_outcome outcome;
    char *original;             /* the head as the client sent it, where another one is sent; NULL: it is in `kept` */
    struct tg_buffer *answer;   /* of ROUTE_ANSWER: until it is the flow's */
    struct tg_cluster *cluster; /* of ROUTE_FORWARD, with a reference; NULL: to where the verdict says */
    struct tg_sticky sticky;    /* which endpoint of the cluster it belongs to */
    uint64_t began_us;          /* on the endpoint that is being tried */
    uint32_t endpoint;          /* in the cluster; while is_trying */
    uint32_t tried_count;
    uint32_t tried[PLAN_TRIED];
    struct plan_gate gate;
    struct tg_hedge *hedge; /* the second request: rules/hedge.h; NULL: there is none */
    bool is_trying;         /* the cluster counts a request under way on the endpoint */
    bool is_pending;        /* the cluster counts it among those that wait for a connection */
    bool is_repeated;       /* the cluster counts it under its limit of retries */
    bool is_admitted;       /* the cluster counts the exchange under its limit of requests */
};

enum plan_pick { PLAN_PICKED, PLAN_NO_ENDPOINT, PLAN_FULL };

/* Asks the rules of the site, and the door where the table can't say. False: no memory. */
bool plan_make(struct tg_worker *worker, struct tg_exchange *exchange, struct tg_site *site,
               const struct http_head *head, const char *bytes, const tg_address *peer);

/* Of ROUTE_FORWARD: finds the cluster, and a place under its limit of requests. -ENOENT: there is no such cluster;
 * -EBUSY: the limit is reached. */
int plan_enter(struct tg_worker *worker, struct tg_plan *plan);

/* Chooses an endpoint among those that were not tried yet, and counts a request on it. present: not NULL: the address
 * that is taken where the cluster has it. */
enum plan_pick plan_pick(struct tg_worker *worker, struct tg_plan *plan, const tg_address *present);

/* The endpoint that was chosen last is given back: nothing has been tried on it. */
void plan_unpick(struct tg_worker *worker, struct tg_plan *plan);

/* The request has its connection, or waits for none any more. */
void plan_unwait(struct tg_plan *plan);

/* Whether there may be an endpoint that was not tried. */
bool plan_has_another(const struct tg_plan *plan);

static inline const struct tg_choice *plan_choice(const struct tg_plan *plan)
{
    return &plan->cluster->endpoints[plan->endpoint];
}

/* What the rule says about the request that goes to an endpoint; there is a rule. */
static inline const tg_site_rule *plan_rule(const struct tg_plan *plan)
{
    return &plan->outcome.site->spec.rules[plan->outcome.rule];
}

/* Whether the rule may have the request sent again at all. */
static inline bool plan_may_repeat(const struct tg_exchange *exchange)
{
    const struct tg_plan *plan = exchange->plan;
    return plan != NULL && plan->outcome.kind == ROUTE_FORWARD && plan_rule(plan)->retry.attempts > 0;
}

/* Whether the rule has the request sent again after such a failure, and the budget allows it: it is used up by that. */
bool plan_repeats(struct tg_worker *worker, const struct tg_exchange *exchange, enum tg_retry_on failure);

/* The same after an answer with the exchange's status. */
bool plan_repeats_status(struct tg_worker *worker, const struct tg_exchange *exchange);

/* How long to wait before the next attempt. */
uint64_t plan_backoff_ms(struct tg_worker *worker, const struct tg_exchange *exchange);

/* The final head of the answer has come. */
void plan_answered(struct tg_worker *worker, const struct tg_exchange *exchange);

/* The attempt on the endpoint is over; nothing happens where there is none. */
void plan_leave(struct tg_worker *worker, struct tg_exchange *exchange, enum tg_request_end how);

/* The endpoint that is being tried has not answered for as long as it has the request: it counts as that slow. */
void plan_outlived(struct tg_worker *worker, const struct tg_exchange *exchange);

/* The second request is given up, if there is one: it ended in that way. */
void plan_unhedge(struct tg_worker *worker, struct tg_plan *plan, enum tg_request_end how);

/* What the exchange itself says about how its attempt ended. */
enum tg_request_end plan_how_ended(const struct tg_exchange *exchange);

/* The exchange is over, by its answer or by what its flags say: the plan is given back. */
void plan_end(struct tg_worker *worker, struct tg_exchange *exchange);

/* How long the connection of a request may wait for its next exchange; 0: as long as it is open. plan: NULL is allowed.
 * otherwise_ms: the proxy's own setting; the shorter one holds. */
static inline uint64_t plan_idle_ms(const struct tg_plan *plan, uint64_t otherwise_ms)
{
    const uint64_t asked_ms = plan == NULL || plan->cluster == NULL ? 0 : plan->cluster->asked.idle_timeout_ms;
    return asked_ms == 0 || (otherwise_ms != 0 && otherwise_ms < asked_ms) ? otherwise_ms : asked_ms;
}

/* Whether a connection has carried as many requests as the cluster allows. plan: NULL is allowed. */
static inline bool plan_is_worn(const struct tg_plan *plan, uint32_t exchanges)
{
    return plan != NULL && plan->cluster != NULL && plan->cluster->asked.connection_requests != 0 &&
           exchanges >= plan->cluster->asked.connection_requests;
}

/* Whether the head of the answer is not sent as it comes. */
static inline bool plan_edits_answer(const struct tg_exchange *exchange)
{
    const struct tg_plan *plan = exchange->plan;
    return plan != NULL && (plan->outcome.edits_answer || plan->sticky.speaks) && !exchange->to_connect;
}

#endif
