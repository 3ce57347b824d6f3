#include "exchange/sticky.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "balance/dice.h"
#include "balance/key.h"
#include "exchange/rules/plan.h"
#include "state.h"

/* A client that came without the cookie gets one, and goes where it leads from the first request on. */
static bool give_cookie(struct tg_worker *worker, struct tg_sticky *sticky, const struct tg_cluster *cluster)
{
    char value[17];
    const int digits = snprintf(value, sizeof value, "%016" PRIx64, worker_random(worker));
    const int length =
        asprintf(&sticky->line, "set-cookie: %s=%s%s\r\n", cluster->hash_name, value, cluster->cookie_end);
    if (length < 0) {
        sticky->line = NULL;
        return false;
    }
    sticky->line_length = (uint32_t)length;
    sticky->hash = dice_hash(value, (size_t)digits);
    sticky->is_hashed = sticky->speaks = true;
    return true;
}

static int32_t endpoint_of(const struct tg_cluster *cluster, uint64_t identity)
{
    for (uint32_t i = 0; i < cluster->asked.endpoint_count; i++)
        if (cluster->endpoints[i].identity == identity)
            return (int32_t)i;
    return PICK_NONE;
}

static uint64_t wall_clock_s(void)
{
    return (uint64_t)time(NULL);
}

/* The backend of the rule that has the session's endpoint gets the request, whatever the weights; unless a filter has
 * written the request's head for the backend that it was told of. */
static void join_session(struct tg_worker *worker, struct tg_plan *plan, const struct http_head *head,
                         const char *bytes)
{
    struct tg_sticky *sticky = &plan->sticky;
    const struct tg_site *site = plan->outcome.site;
    const tg_range backends = plan_rule(plan)->backends;
    if (!session_read(site, sticky->session, head, bytes, wall_clock_s(), &sticky->token))
        return;
    for (uint32_t i = 0; i < backends.count && !sticky->has_token; i++) {
        const tg_backend *backend = &site->spec.backends[backends.first + i];
        const struct tg_cluster *cluster = backend->cluster == TG_NO_CLUSTER
                                               ? NULL
                                               : clusters_look(&worker->engine->clusters, (uint32_t)backend->cluster);
        if (cluster == NULL || endpoint_of(cluster, sticky->token.endpoint) < 0)
            continue;
        if (plan->outcome.backend != (int32_t)i && plan->outcome.written != NULL)
            return;
        sticky->has_token = true;
        if (plan->outcome.backend != (int32_t)i)
            (void)outcome_forward_to(&plan->outcome, (int32_t)i);
    }
}

bool sticky_find(struct tg_worker *worker, struct tg_plan *plan, const struct http_head *head, const char *bytes,
                 const tg_address *peer)
{
    struct tg_sticky *sticky = &plan->sticky;
    if (plan->outcome.kind == ROUTE_FORWARD && plan_rule(plan)->session > 0) {
        sticky->session = &plan->outcome.site->spec.sessions[plan_rule(plan)->session - 1];
        sticky->speaks = plan->outcome.cluster != TG_NO_CLUSTER;
        join_session(worker, plan, head, bytes);
    }
    if (plan->outcome.kind != ROUTE_FORWARD || plan->outcome.cluster == TG_NO_CLUSTER)
        return true;
    const struct tg_cluster *cluster = clusters_look(&worker->engine->clusters, (uint32_t)plan->outcome.cluster);
    if (cluster == NULL)
        return true;
    sticky->client = peer;
    sticky->by_client = cluster->asked.affinity_ms != 0;
    if (cluster->asked.hash_by == TG_HASH_NOTHING)
        return true;
    sticky->is_hashed = key_hash(cluster, head, bytes, peer, &sticky->hash);
    if (!sticky->is_hashed && cluster->cookie_end != NULL && sticky->session == NULL)
        return give_cookie(worker, sticky, cluster);
    return true;
}

int32_t sticky_choose(struct tg_worker *worker, const struct tg_plan *plan)
{
    tg_address known;
    if (plan->sticky.has_token) {
        const int32_t own = endpoint_of(plan->cluster, plan->sticky.token.endpoint);
        if (own >= 0 && pick_admits(plan->cluster, (uint32_t)own))
            return own;
    }
    if (!plan->sticky.by_client || !affinity_find(&worker->engine->affinities, plan->cluster->asked.affinity,
                                                  plan->sticky.client, worker->now_us / 1000, &known))
        return PICK_NONE;
    for (uint32_t i = 0; i < plan->cluster->asked.endpoint_count; i++)
        if (address_equal(&plan->cluster->endpoints[i].address, &known) && pick_admits(plan->cluster, i))
            return (int32_t)i;
    return PICK_NONE;
}

void sticky_chose(struct tg_worker *worker, const struct tg_plan *plan)
{
    const struct tg_affinity affinity = {plan->cluster->asked.affinity, plan->cluster->asked.affinity_ms};
    if (plan->sticky.by_client)
        affinity_keep(&worker->engine->affinities, &affinity, plan->sticky.client, &plan_choice(plan)->address,
                      worker->now_us / 1000);
}

bool sticky_answer(struct tg_plan *plan)
{
    struct tg_sticky *sticky = &plan->sticky;
    if (sticky->session == NULL || plan->cluster == NULL)
        return true;
    const uint64_t now_s = wall_clock_s();
    const uint64_t endpoint = plan_choice(plan)->identity;
    const bool goes_on = sticky->has_token && sticky->token.endpoint == endpoint;
    if (goes_on && (sticky->session->idle_s == 0 || sticky->token.used_s == now_s))
        return true;
    const struct session_token token = {endpoint, goes_on ? sticky->token.issued_s : now_s, now_s};
    sticky->line = session_line(plan->outcome.site, sticky->session, &token, now_s, &sticky->line_length);
    return sticky->line != NULL;
}

void sticky_end(struct tg_sticky *sticky)
{
    free(sticky->line);
}
