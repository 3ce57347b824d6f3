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
    if (cluster == NULL || cluster->asked.hash_by == TG_HASH_NOTHING)
        return true;
    sticky->is_hashed = key_hash(cluster, head, bytes, peer, &sticky->hash);
    if (!sticky->is_hashed && cluster->cookie_end != NULL)
        return give_cookie(worker, sticky, cluster);
    return true;
}

void sticky_end(struct tg_sticky *sticky)
{
    free(sticky->line);
}
