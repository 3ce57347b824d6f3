#include "limits/hedger.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 284, SLICES = 10, LEAST = 50, BREAKER_LEAST = 20 };

#define SECOND_US UINT64_C(1000000)
#define SLICE_US (3 * SECOND_US)
#define SHORTEST_US 100.0
#define GROWTH 1.05
#define FRESH_US (SECOND_US / 20) /* how long an estimate is taken for good */
#define ROUND_US SECOND_US
#define BREAKER_US (10 * SECOND_US)
#define BREAKER_FACTOR 2.0
#define ROUNDING 1e-9

struct slice {
    uint64_t number; /* of its three seconds, plus 1; 0: never used */
    uint32_t counts[BUCKETS];
};

struct tg_hedger {
    _Atomic uint32_t references;
    pthread_mutex_t mutex;
    uint64_t estimate_us;
    uint64_t estimated_us; /* when; 0: never */
    double quantile;       /* of which */
    uint64_t round_us;
    uint32_t begun; /* this and the next one: in the round */
    uint32_t slow;
    uint64_t open_until_us;
    struct slice slices[SLICES];
};

struct tg_hedger *hedger_new(void)
{
    struct tg_hedger *hedger = calloc(1, sizeof *hedger);
    if (hedger == NULL)
        return NULL;
    atomic_init(&hedger->references, 1);
    pthread_mutex_init(&hedger->mutex, NULL);
    return hedger;
}

void hedger_take(struct tg_hedger *hedger)
{
    atomic_fetch_add_explicit(&hedger->references, 1, memory_order_relaxed);
}

void hedger_release(struct tg_hedger *hedger)
{
    if (hedger == NULL || atomic_fetch_sub_explicit(&hedger->references, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&hedger->mutex);
    free(hedger);
}

static int bucket_of(uint64_t elapsed_us)
{
    if ((double)elapsed_us <= SHORTEST_US)
        return 0;
    const double bucket = ceil(log((double)elapsed_us / SHORTEST_US) / log(GROWTH));
    return bucket < BUCKETS - 1 ? (int)bucket : BUCKETS - 1;
}

static uint64_t estimate(const struct tg_hedger *hedger, double quantile, uint64_t now_us)
{
    const uint64_t present = now_us / SLICE_US + 1;
    uint64_t counts[BUCKETS] = {0};
    uint64_t total = 0;
    uint64_t below = 0;
    int bucket = 0;
    for (int i = 0; i < SLICES; i++) {
        const struct slice *slice = &hedger->slices[i];
        if (slice->number == 0 || slice->number > present || present - slice->number >= SLICES)
            continue;
        for (int j = 0; j < BUCKETS; j++)
            counts[j] += slice->counts[j];
    }
    for (int j = 0; j < BUCKETS; j++)
        total += counts[j];
    if (total < LEAST)
        return 0;
    for (; bucket < BUCKETS - 1; bucket++) {
        below += counts[bucket];
        if ((double)below >= quantile * (double)total)
            break;
    }
    return (uint64_t)(SHORTEST_US * pow(GROWTH, bucket));
}

static void turn(struct tg_hedger *hedger, uint64_t now_us)
{
    if (hedger->round_us != 0 && now_us - hedger->round_us < ROUND_US)
        return;
    hedger->round_us = now_us;
    hedger->begun = hedger->slow = 0;
}

uint64_t hedger_begin(struct tg_hedger *hedger, double quantile, uint64_t now_us)
{
    pthread_mutex_lock(&hedger->mutex);
    turn(hedger, now_us);
    hedger->begun++;
    /* That too little is known holds for a moment only. */
    if (hedger->estimate_us == 0 || now_us - hedger->estimated_us >= FRESH_US || hedger->quantile != quantile) {
        hedger->estimate_us = estimate(hedger, quantile, now_us);
        hedger->estimated_us = now_us;
        hedger->quantile = quantile;
    }
    const uint64_t found_us = hedger->estimate_us;
    pthread_mutex_unlock(&hedger->mutex);
    return found_us;
}

void hedger_answered(struct tg_hedger *hedger, uint64_t elapsed_us, uint64_t now_us)
{
    const int bucket = bucket_of(elapsed_us);
    const uint64_t number = now_us / SLICE_US + 1;
    struct slice *slice = &hedger->slices[number % SLICES];
    pthread_mutex_lock(&hedger->mutex);
    if (slice->number != number) {
        memset(slice->counts, 0, sizeof slice->counts);
        slice->number = number;
    }
    slice->counts[bucket]++;
    pthread_mutex_unlock(&hedger->mutex);
}

bool hedger_bears(struct tg_hedger *hedger, double quantile, uint64_t now_us)
{
    bool bears = false;
    pthread_mutex_lock(&hedger->mutex);
    turn(hedger, now_us);
    hedger->slow++;
    if (now_us >= hedger->open_until_us) {
        bears =
            hedger->slow < BREAKER_LEAST || hedger->slow <= BREAKER_FACTOR * (1 - quantile) * hedger->begun + ROUNDING;
        if (!bears)
            hedger->open_until_us = now_us + BREAKER_US;
    }
    pthread_mutex_unlock(&hedger->mutex);
    return bears;
}
