#include "exchange/rules/sticky.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

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

bool sticky_find(struct tg_worker *worker, struct tg_plan *plan, const struct http_head *head, const char *bytes,
                 const tg_address *peer)
{
    struct tg_sticky *sticky = &plan->sticky;
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
    if (!sticky->is_hashed && cluster->cookie_end != NULL)
        return give_cookie(worker, sticky, cluster);
    return true;
}

int32_t sticky_choose(struct tg_worker *worker, const struct tg_plan *plan)
{
    tg_address known;
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

void sticky_end(struct tg_sticky *sticky)
{
    free(sticky->line);
}
