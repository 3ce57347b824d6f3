#include "decide/affinity.h"

#include <stdlib.h>
#include <string.h>

/* until_ms 0: never used. */
struct tg_belonging {
    uint64_t of;
    uint64_t until_ms;
    uint8_t client[16];
    tg_address endpoint;
};

void affinities_init(struct tg_affinities *affinities, uint64_t seed)
{
    affinities->all = NULL;
    affinities->seed = seed;
    for (int i = 0; i < AFFINITY_STRIPES; i++)
        pthread_mutex_init(&affinities->stripes[i], NULL);
}

void affinities_destroy(struct tg_affinities *affinities)
{
    free(affinities->all);
    for (int i = 0; i < AFFINITY_STRIPES; i++)
        pthread_mutex_destroy(&affinities->stripes[i]);
}

bool affinities_prepare(struct tg_affinities *affinities)
{
    /* Pages that no client falls into are never touched. */
    if (affinities->all == NULL)
        affinities->all = calloc((size_t)AFFINITY_SETS * AFFINITY_WAYS, sizeof *affinities->all);
    return affinities->all != NULL;
}

static uint32_t set_of(const struct tg_affinities *affinities, uint64_t of, const tg_address *client)
{
    tg_address host = *client;
    host.port = 0;
    return (uint32_t)(address_hash(&host, affinities->seed ^ of) % AFFINITY_SETS);
}

static bool is_of(const struct tg_belonging *one, uint64_t of, const tg_address *client)
{
    return one->until_ms != 0 && one->of == of && memcmp(one->client, client->ip, sizeof one->client) == 0;
}

bool affinity_find(struct tg_affinities *affinities, uint64_t of, const tg_address *client, uint64_t now_ms,
                   tg_address *endpoint)
{
    const uint32_t set = set_of(affinities, of, client);
    bool found = false;
    pthread_mutex_lock(&affinities->stripes[set % AFFINITY_STRIPES]);
    for (int way = 0; way < AFFINITY_WAYS && !found; way++) {
        const struct tg_belonging *one = &affinities->all[set * AFFINITY_WAYS + way];
        found = is_of(one, of, client) && now_ms < one->until_ms;
        if (found)
            *endpoint = one->endpoint;
    }
    pthread_mutex_unlock(&affinities->stripes[set % AFFINITY_STRIPES]);
    return found;
}

void affinity_keep(struct tg_affinities *affinities, const struct tg_affinity *affinity, const tg_address *client,
                   const tg_address *endpoint, uint64_t now_ms)
{
    const uint32_t set = set_of(affinities, affinity->of, client);
    pthread_mutex_lock(&affinities->stripes[set % AFFINITY_STRIPES]);
    struct tg_belonging *chosen = &affinities->all[set * AFFINITY_WAYS];
    for (int way = 0; way < AFFINITY_WAYS; way++) {
        struct tg_belonging *one = &affinities->all[set * AFFINITY_WAYS + way];
        if (is_of(one, affinity->of, client)) {
            chosen = one;
            break;
        }
        if (one->until_ms < chosen->until_ms)
            chosen = one;
    }
    *chosen = (struct tg_belonging){.of = affinity->of, .until_ms = now_ms + affinity->ms, .endpoint = *endpoint};
    memcpy(chosen->client, client->ip, sizeof chosen->client);
    pthread_mutex_unlock(&affinities->stripes[set % AFFINITY_STRIPES]);
}
