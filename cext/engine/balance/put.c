/* Clusters as the engine's callers give them, and what they ask about endpoints. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "balance/clusters.h"
#include "balance/spec.h"
#include "engine.h"
#include "state.h"

static bool is_sound_table(const tg_cluster_spec *spec)
{
    if (spec->table_size == 0)
        return spec->points == NULL;
    if (spec->table_size > TG_MAX_TABLE || spec->places == NULL)
        return false;
    for (uint32_t i = 0; i < spec->table_size; i++)
        if (spec->places[i] >= spec->endpoint_count ||
            (spec->points != NULL && i > 0 && spec->points[i - 1] > spec->points[i]))
            return false;
    return true;
}

/* May stand in a header's line. */
static bool is_clean(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return false;
    return true;
}

static bool is_sound_hash(const tg_cluster_spec *spec)
{
    if (spec->hash_by < TG_HASH_NOTHING || spec->hash_by > TG_HASH_SOURCE)
        return false;
    if (spec->hash_name_length > TG_MAX_HASH_NAME ||
        (spec->hash_name_length == 0) != (spec->hash_by == TG_HASH_NOTHING || spec->hash_by == TG_HASH_SOURCE))
        return false;
    if (spec->hash_by == TG_HASH_COOKIE && !is_clean(spec->hash_name, spec->hash_name_length))
        return false;
    return spec->cookie_end == NULL ||
           (strlen(spec->cookie_end) <= TG_MAX_HASH_NAME && is_clean(spec->cookie_end, strlen(spec->cookie_end)));
}

static bool is_sound(const tg_cluster_spec *spec)
{
    uint64_t total = 0;
    if (!is_sound_hash(spec))
        return false;
    if (spec->choose < TG_CHOOSE_EWMA || spec->choose > TG_CHOOSE_RANDOM)
        return false;
    for (int kind = 0; kind < TG_BUDGETS; kind++)
        if (!(spec->budget_percent[kind] >= 0 && spec->budget_percent[kind] <= 100) ||
            !(spec->budget_per_s[kind] >= 0 && isfinite(spec->budget_per_s[kind])))
            return false;
    for (uint32_t i = 0; i < spec->endpoint_count; i++) {
        const tg_address *address = &spec->endpoints[i].address;
        if ((address->family != 4 && address->family != 6) || address->port == 0)
            return false;
        total += spec->endpoints[i].weight;
    }
    return total <= UINT32_MAX && is_sound_table(spec);
}

int tg_engine_set_cluster(tg_engine *engine, uint32_t number, const tg_cluster_spec *spec)
{
    if (number >= TG_MAX_CLUSTERS || !is_sound(spec))
        return -EINVAL;
    pthread_mutex_lock(&engine->control);
    int error = -ENOMEM;
    if (spec->affinity_ms == 0 || affinities_prepare(&engine->affinities))
        error = clusters_set(&engine->clusters, number, spec);
    epoch_reclaim(&engine->epochs);
    pthread_mutex_unlock(&engine->control);
    return error;
}

int tg_engine_remove_cluster(tg_engine *engine, uint32_t number)
{
    pthread_mutex_lock(&engine->control);
    const int error = clusters_remove(&engine->clusters, number);
    epoch_reclaim(&engine->epochs);
    pthread_mutex_unlock(&engine->control);
    return error;
}

int tg_engine_news_fd(const tg_engine *engine)
{
    return engine->clusters.endpoints.room.fd;
}

int tg_engine_news(tg_engine *engine, tg_endpoint_news *out, int max)
{
    int count = 0;
    pthread_mutex_lock(&engine->collecting);
    if (engine->news == NULL)
        engine->news = news_take(&engine->clusters.endpoints.room);
    for (; count < max && engine->news != NULL; count++) {
        struct tg_endpoint_state *state = (struct tg_endpoint_state *)engine->news;
        /* Before the bits: from then on it may be posted again. */
        engine->news = engine->news->next;
        out[count] = (tg_endpoint_news){.group = state->group, .news = atomic_exchange(&state->news, 0)};
        endpoints_drop(state);
    }
    news_left(&engine->clusters.endpoints.room, engine->news != NULL);
    pthread_mutex_unlock(&engine->collecting);
    return count;
}

int tg_engine_endpoint_counts(tg_engine *engine, uint64_t group, tg_endpoint_counts *out)
{
    int error = -ENOENT;
    *out = (tg_endpoint_counts){.group = group};
    pthread_mutex_lock(&engine->control);
    struct tg_endpoint_state *state = endpoints_find(&engine->clusters.endpoints, group);
    if (state != NULL) {
        endpoint_count(state, engine->worker_count, out);
        error = 0;
    }
    pthread_mutex_unlock(&engine->control);
    return error;
}
