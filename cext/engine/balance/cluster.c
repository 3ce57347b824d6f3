#include "balance/cluster.h"

#include <stdlib.h>
#include <string.h>

#include "base/stride.h"

static struct tg_usage *usage_new(unsigned workers)
{
    struct tg_usage *usage = calloc(1, sizeof *usage);
    if (usage == NULL)
        return NULL;
    usage->budget = budget_new(workers);
    if (usage->budget == NULL) {
        free(usage);
        return NULL;
    }
    return usage;
}

static void usage_drop(struct tg_usage *usage)
{
    if (usage == NULL || atomic_fetch_sub_explicit(&usage->references, 1, memory_order_acq_rel) != 1)
        return;
    free(usage->budget);
    free(usage);
}

/* Also of one that is only half made. */
static void cluster_free(struct tg_cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->asked.endpoint_count; i++)
        if (cluster->endpoints[i].state != NULL)
            endpoints_drop(cluster->endpoints[i].state);
    usage_drop(cluster->usage);
    free(cluster->places);
    free(cluster->points);
    free(cluster->hash_name);
    free(cluster->cookie_end);
    free(cluster);
}

static bool copy_table(struct tg_cluster *cluster, const tg_cluster_spec *spec)
{
    if (spec->table_size == 0)
        return true;
    cluster->places = malloc(spec->table_size * sizeof cluster->places[0]);
    if (cluster->places == NULL)
        return false;
    memcpy(cluster->places, spec->places, spec->table_size * sizeof cluster->places[0]);
    if (spec->points == NULL)
        return true;
    cluster->points = malloc(spec->table_size * sizeof cluster->points[0]);
    if (cluster->points == NULL)
        return false;
    memcpy(cluster->points, spec->points, spec->table_size * sizeof cluster->points[0]);
    return true;
}

static bool copy_texts(struct tg_cluster *cluster, const tg_cluster_spec *spec)
{
    if (spec->hash_name_length > 0) {
        cluster->hash_name = strndup(spec->hash_name, spec->hash_name_length);
        if (cluster->hash_name == NULL)
            return false;
    }
    if (spec->cookie_end != NULL)
        cluster->cookie_end = strdup(spec->cookie_end);
    return spec->cookie_end == NULL || cluster->cookie_end != NULL;
}

static bool add_endpoint(struct tg_cluster *cluster, struct tg_endpoints *endpoints, struct tg_groups *groups,
                         const tg_cluster_spec *spec, uint32_t index)
{
    const tg_cluster_endpoint *asked = &spec->endpoints[index];
    struct tg_choice *choice = &cluster->endpoints[index];
    cluster->total += asked->weight;
    if (asked->weight > cluster->heaviest)
        cluster->heaviest = asked->weight;
    *choice = (struct tg_choice){
        .address = asked->address, .identity = asked->identity, .weight = asked->weight, .end = cluster->total};
    for (int row = 0; row < TG_ROWS; row++)
        choice->rows.threshold[row] = spec->in_a_row[row];
    choice->rows.split_local = spec->split_local != 0;
    choice->rows.trial = asked->trial != 0;
    choice->counted = group_get(groups, asked->group);
    choice->state = endpoints_take(endpoints, asked->group);
    return choice->counted != NULL && choice->state != NULL;
}

struct tg_cluster *cluster_new(struct tg_endpoints *endpoints, struct tg_groups *groups, struct tg_usage *usage,
                               const tg_cluster_spec *spec)
{
    struct tg_cluster *cluster = calloc(1, sizeof *cluster + spec->endpoint_count * sizeof cluster->endpoints[0]);
    if (cluster == NULL)
        return NULL;
    cluster->asked = *spec;
    cluster->asked.endpoints = NULL;
    cluster->asked.places = NULL;
    cluster->asked.points = NULL;
    cluster->asked.hash_name = NULL;
    cluster->asked.cookie_end = NULL;
    atomic_init(&cluster->references, 1);
    cluster->usage = usage != NULL ? usage : usage_new(endpoints->workers);
    if (cluster->usage == NULL)
        goto fail;
    atomic_fetch_add(&cluster->usage->references, 1);
    for (uint32_t i = 0; i < spec->endpoint_count; i++)
        if (!add_endpoint(cluster, endpoints, groups, spec, i))
            goto fail;
    if (!copy_table(cluster, spec) || !copy_texts(cluster, spec))
        goto fail;
    cluster->stride = cluster->total == 0 ? 0 : stride_of(cluster->total);
    return cluster;
fail:
    cluster_free(cluster);
    return NULL;
}

void cluster_hold(struct tg_cluster *cluster)
{
    atomic_fetch_add_explicit(&cluster->references, 1, memory_order_relaxed);
}

void cluster_release(struct tg_cluster *cluster)
{
    if (atomic_fetch_sub_explicit(&cluster->references, 1, memory_order_acq_rel) == 1)
        cluster_free(cluster);
}

/* 0: no limit. */
static bool take(_Atomic uint32_t *count, uint32_t limit)
{
    if (atomic_fetch_add_explicit(count, 1, memory_order_relaxed) < limit || limit == 0)
        return true;
    atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
    return false;
}

bool limit_take(struct tg_cluster *cluster, enum tg_limit limit)
{
    return take(&cluster->usage->now[limit], cluster->asked.limits[limit]);
}

void limit_give(struct tg_cluster *cluster, enum tg_limit limit)
{
    atomic_fetch_sub_explicit(&cluster->usage->now[limit], 1, memory_order_relaxed);
}

uint32_t limit_now(const struct tg_cluster *cluster, enum tg_limit limit)
{
    return atomic_load_explicit(&cluster->usage->now[limit], memory_order_relaxed);
}

bool taken_take(struct tg_cluster *cluster, uint32_t endpoint, struct tg_taken *taken)
{
    struct tg_endpoint_state *state = cluster->endpoints[endpoint].state;
    if (!limit_take(cluster, TG_LIMIT_CONNECTIONS))
        return false;
    if (!take(&state->connections, cluster->asked.endpoint_connections)) {
        limit_give(cluster, TG_LIMIT_CONNECTIONS);
        return false;
    }
    atomic_fetch_add(&cluster->usage->references, 1);
    atomic_fetch_add(&state->references, 1);
    *taken = (struct tg_taken){cluster->usage, state};
    return true;
}

void taken_give(struct tg_taken *taken)
{
    if (taken->usage == NULL)
        return;
    atomic_fetch_sub_explicit(&taken->usage->now[TG_LIMIT_CONNECTIONS], 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&taken->state->connections, 1, memory_order_relaxed);
    usage_drop(taken->usage);
    endpoints_drop(taken->state);
    *taken = (struct tg_taken){0};
}

void endpoint_began(struct tg_cluster *cluster, unsigned worker, uint32_t endpoint)
{
    state_began(cluster->endpoints[endpoint].state, worker);
}

void endpoint_answered(struct tg_cluster *cluster, unsigned worker, uint32_t endpoint, int status, uint64_t latency_us,
                       uint64_t now_us)
{
    const struct tg_choice *choice = &cluster->endpoints[endpoint];
    state_answered(choice->state, worker, &choice->rows, status, latency_us, now_us);
}

void endpoint_ended(struct tg_cluster *cluster, unsigned worker, uint32_t endpoint, enum tg_request_end how,
                    uint64_t elapsed_us, uint64_t now_us)
{
    const struct tg_choice *choice = &cluster->endpoints[endpoint];
    state_ended(choice->state, worker, &choice->rows, how, elapsed_us, now_us);
}

void endpoint_outlived(struct tg_cluster *cluster, unsigned worker, uint32_t endpoint, uint64_t elapsed_us,
                       uint64_t now_us)
{
    struct tg_ewma *ewma = &cluster->endpoints[endpoint].state->share[worker].ewma;
    if ((double)elapsed_us >= atomic_load_explicit(&ewma->cost_us, memory_order_relaxed))
        ewma_observe(ewma, (double)elapsed_us, now_us);
}

void cluster_request(struct tg_cluster *cluster, unsigned worker, uint64_t now_us)
{
    budget_request(cluster->usage->budget, worker, now_us);
}

bool cluster_may_repeat(struct tg_cluster *cluster, unsigned worker, enum tg_budget_kind kind,
                        const struct tg_allowance *allowance, uint64_t now_us)
{
    const struct tg_allowance own = {cluster->asked.budget_percent[kind], cluster->asked.budget_per_s[kind]};
    return budget_take(cluster->usage->budget, worker, kind, allowance == NULL ? &own : allowance, now_us);
}
