#include "limits/callers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Zero: never used. */
struct bucket {
    uint64_t key;
    uint64_t full_ns; /* when it will be full again */
};

struct tg_callers {
    _Atomic uint32_t references;
    uint32_t sets;
    pthread_mutex_t mutex;
    struct bucket *buckets; /* [set][way]; by itself, so that the kernel gives pages only when they are used */
};

struct tg_callers *callers_new(bool many)
{
    struct tg_callers *callers = calloc(1, sizeof *callers);
    if (callers == NULL)
        return NULL;
    callers->sets = many ? CALLERS_SETS : CALLERS_FEW_SETS;
    callers->buckets = calloc((size_t)callers->sets * CALLERS_WAYS, sizeof *callers->buckets);
    if (callers->buckets == NULL) {
        free(callers);
        return NULL;
    }
    atomic_init(&callers->references, 1);
    pthread_mutex_init(&callers->mutex, NULL);
    return callers;
}

void callers_take(struct tg_callers *callers)
{
    atomic_fetch_add_explicit(&callers->references, 1, memory_order_relaxed);
}

void callers_release(struct tg_callers *callers)
{
    if (callers == NULL || atomic_fetch_sub_explicit(&callers->references, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&callers->mutex);
    free(callers->buckets);
    free(callers);
}

/* The caller's own bucket, else the fullest of its set: a caller that is not remembered has a full bucket, so
 * forgetting that one costs least. */
static struct bucket *bucket_of(struct tg_callers *callers, uint64_t key)
{
    struct bucket *set = &callers->buckets[(size_t)(key % callers->sets) * CALLERS_WAYS];
    struct bucket *fullest = set;
    for (struct bucket *one = set; one < set + CALLERS_WAYS; one++) {
        if (one->key == key && one->full_ns != 0)
            return one;
        if (one->full_ns < fullest->full_ns)
            fullest = one;
    }
    return fullest;
}

uint64_t callers_admit(struct tg_callers *callers, uint64_t key, double per_s, uint32_t burst, uint64_t now_us)
{
    const uint64_t now_ns = now_us * 1000;
    const uint64_t price_ns = (uint64_t)(1e9 / per_s);
    const uint64_t depth_ns = price_ns * burst;
    uint64_t over_ns = 0;
    pthread_mutex_lock(&callers->mutex);
    struct bucket *bucket = bucket_of(callers, key);
    const bool is_known = bucket->key == key && bucket->full_ns > now_ns;
    const uint64_t full_ns = (is_known ? bucket->full_ns : now_ns) + price_ns;
    if (full_ns > now_ns + depth_ns)
        over_ns = full_ns - now_ns - depth_ns;
    else
        *bucket = (struct bucket){key, full_ns};
    pthread_mutex_unlock(&callers->mutex);
    return over_ns;
}
