#include "balance/pick.h"

#include "balance/dice.h"
#include "balance/excluded.h"
#include "base/counter.h"

/* How many draws may come to nothing before all endpoints are looked at in turn. */
enum { DRAWS = 8 };

bool pick_admits(const struct tg_cluster *cluster, uint32_t index)
{
    const struct tg_choice *choice = &cluster->endpoints[index];
    const uint32_t requests = atomic_load_explicit(&choice->state->requests, memory_order_relaxed);
    const uint32_t limit = choice->rows.trial ? 1 : cluster->asked.endpoint_requests;
    return choice->weight != 0 && (limit == 0 || requests < limit);
}

static double score(const struct tg_cluster *cluster, unsigned worker, uint32_t index, uint64_t now_us)
{
    const struct tg_choice *choice = &cluster->endpoints[index];
    const struct tg_endpoint_share *share = &choice->state->share[worker];
    const uint64_t outstanding = counter_read(&share->outstanding);
    const double weight = (double)choice->weight / (double)cluster->heaviest;
    /* One on trial is there to be tried. */
    if (choice->rows.trial)
        return -1.0;
    if (cluster->asked.choose == TG_CHOOSE_EWMA)
        return ewma_score(&share->ewma, outstanding, weight, now_us);
    return (double)outstanding / weight;
}

static int32_t pick_of_two(const struct tg_cluster *cluster, unsigned worker, struct excluded *excluded,
                           uint64_t *random, uint64_t now_us)
{
    for (int draw = 0; draw < DRAWS; draw++) {
        const int32_t first = excluded_draw(excluded, cluster, dice_next(random));
        if (first < 0)
            return PICK_NONE;
        if (!excluded_add(excluded, cluster, (uint32_t)first))
            return PICK_NONE;
        const int32_t second = excluded_draw(excluded, cluster, dice_next(random));
        const bool one = pick_admits(cluster, (uint32_t)first);
        const bool other = second >= 0 && pick_admits(cluster, (uint32_t)second);
        if (one && other)
            return score(cluster, worker, (uint32_t)second, now_us) < score(cluster, worker, (uint32_t)first, now_us)
                       ? second
                       : first;
        if (one || other)
            return one ? first : second;
        if (second >= 0)
            (void)excluded_add(excluded, cluster, (uint32_t)second);
    }
    return PICK_NONE;
}

static int32_t pick_random(const struct tg_cluster *cluster, struct excluded *excluded, uint64_t *random)
{
    for (int draw = 0; draw < DRAWS; draw++) {
        const int32_t index = excluded_draw(excluded, cluster, dice_next(random));
        if (index < 0 || pick_admits(cluster, (uint32_t)index))
            return index;
        if (!excluded_add(excluded, cluster, (uint32_t)index))
            return PICK_NONE;
    }
    return PICK_NONE;
}

static int32_t pick_in_turn(struct tg_cluster *cluster, const struct excluded *excluded)
{
    for (int draw = 0; draw < 2 * DRAWS; draw++) {
        const uint64_t turn = atomic_fetch_add_explicit(&cluster->usage->turn, 1, memory_order_relaxed);
        const uint32_t index = cluster_ticket(cluster, turn % cluster->total * cluster->stride % cluster->total);
        if (!excluded_has(excluded, index) && pick_admits(cluster, index))
            return (int32_t)index;
    }
    return PICK_NONE;
}

static uint32_t place_on_ring(const struct tg_cluster *cluster, uint64_t hash)
{
    uint32_t low = 0;
    uint32_t high = cluster->asked.table_size;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (cluster->points[middle] < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low % cluster->asked.table_size;
}

/* Where the hash leads; if that endpoint is out of the question, where the ring goes on or the next hash leads. */
static int32_t pick_hashed(const struct tg_cluster *cluster, uint64_t hash, const struct excluded *excluded)
{
    const uint32_t size = cluster->asked.table_size;
    const uint32_t first = cluster->points == NULL ? 0 : place_on_ring(cluster, hash);
    for (uint32_t step = 0; step < size && step < 64 * DRAWS; step++) {
        const uint32_t place =
            cluster->points != NULL ? (first + step) % size : (uint32_t)((hash + step * DICE_STEP) % size);
        const uint32_t index = cluster->places[place];
        if (!excluded_has(excluded, index) && pick_admits(cluster, index))
            return (int32_t)index;
    }
    return PICK_NONE;
}

/* Whichever admits a request, from a random one on: first those that are not tried yet. */
static int32_t pick_any(const struct tg_cluster *cluster, const struct excluded *tried, uint64_t *random)
{
    const uint32_t count = cluster->asked.endpoint_count;
    const uint32_t from = (uint32_t)dice_below(dice_next(random), count);
    int32_t again = PICK_FULL;
    for (uint32_t step = 0; step < count; step++) {
        const uint32_t index = (from + step) % count;
        if (!pick_admits(cluster, index))
            continue;
        if (!excluded_has(tried, index))
            return (int32_t)index;
        again = (int32_t)index;
    }
    return again;
}

static int32_t pick_by_method(struct tg_cluster *cluster, unsigned worker, const uint64_t *hash,
                              struct excluded excluded, uint64_t *random, uint64_t now_us)
{
    if (hash != NULL && cluster->asked.table_size != 0)
        return pick_hashed(cluster, *hash, &excluded);
    switch (cluster->asked.choose) {
    case TG_CHOOSE_ROUND_ROBIN:
        return pick_in_turn(cluster, &excluded);
    case TG_CHOOSE_RANDOM:
        return pick_random(cluster, &excluded, random);
    default:
        return pick_of_two(cluster, worker, &excluded, random, now_us);
    }
}

int32_t cluster_pick(struct tg_cluster *cluster, unsigned worker, const uint64_t *hash, const uint32_t *tried,
                     unsigned tried_count, uint64_t random, uint64_t now_us)
{
    struct excluded excluded = {.count = 0};
    if (cluster->total == 0)
        return PICK_NONE;
    for (unsigned i = tried_count > PICK_TRIED ? tried_count - PICK_TRIED : 0; i < tried_count; i++)
        if (tried[i] < cluster->asked.endpoint_count)
            (void)excluded_add(&excluded, cluster, tried[i]);
    /* All were tried: the first choice is as good as any. */
    if (excluded.weight == cluster->total)
        excluded = (struct excluded){.count = 0};
    const int32_t found = pick_by_method(cluster, worker, hash, excluded, &random, now_us);
    return found >= 0 ? found : pick_any(cluster, &excluded, &random);
}
