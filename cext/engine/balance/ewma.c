#include "balance/ewma.h"

#include <math.h>

static double fading(uint64_t observed_us, uint64_t now_us)
{
    const double age_us = now_us > observed_us ? (double)(now_us - observed_us) : 0.0;
    return exp(-age_us / EWMA_DECAY_US);
}

static void set(struct tg_ewma *ewma, double cost_us, uint64_t now_us)
{
    atomic_store_explicit(&ewma->cost_us, cost_us, memory_order_relaxed);
    atomic_store_explicit(&ewma->observed_us, now_us == 0 ? 1 : now_us, memory_order_relaxed);
}

void ewma_observe(struct tg_ewma *ewma, double latency_us, uint64_t now_us)
{
    const double cost_us = atomic_load_explicit(&ewma->cost_us, memory_order_relaxed);
    const uint64_t observed_us = atomic_load_explicit(&ewma->observed_us, memory_order_relaxed);
    if (observed_us == 0 || latency_us >= cost_us) {
        set(ewma, latency_us, now_us);
        return;
    }
    const double old = fading(observed_us, now_us);
    set(ewma, cost_us * old + latency_us * (1.0 - old), now_us);
}

void ewma_penalize(struct tg_ewma *ewma, double elapsed_us, uint64_t now_us)
{
    const double least_us = elapsed_us > EWMA_FAILURE_US ? elapsed_us : EWMA_FAILURE_US;
    const double cost_us = atomic_load_explicit(&ewma->cost_us, memory_order_relaxed);
    set(ewma, cost_us > least_us ? cost_us : least_us, now_us);
}

double ewma_score(const struct tg_ewma *ewma, uint64_t outstanding, double weight, uint64_t now_us)
{
    const double cost_us = atomic_load_explicit(&ewma->cost_us, memory_order_relaxed);
    const uint64_t observed_us = atomic_load_explicit(&ewma->observed_us, memory_order_relaxed);
    if (outstanding == 0)
        return observed_us == 0 ? 0.0 : cost_us * fading(observed_us, now_us);
    /* Nothing has come back yet: whatever has answered before goes first. */
    if (observed_us == 0)
        return 1e15 * (1.0 + (double)outstanding / weight);
    return cost_us * (1.0 + (double)outstanding / weight);
}
