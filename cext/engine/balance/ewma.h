/* Peak EWMA of an endpoint's time to first byte: a slower answer counts at once, faster ones little by little. The
 * definition is proxy/core/balance/ewma.py. */
#ifndef TG_EWMA_H
#define TG_EWMA_H

#include <stdatomic.h>
#include <stdint.h>

/* How long a slow answer is remembered: after so long a third of it is left. */
#define EWMA_DECAY_US 4e6
/* What a failure counts as: an endpoint that refuses at once must not look like a fast one. */
#define EWMA_FAILURE_US 1e6

/* One worker writes it, others read it for display. */
struct tg_ewma {
    _Atomic double cost_us;
    _Atomic uint64_t observed_us; /* 0: never */
};

void ewma_observe(struct tg_ewma *ewma, double latency_us, uint64_t now_us);
/* A failure: nothing is learnt about how fast the endpoint is, but it may not attract requests. */
void ewma_penalize(struct tg_ewma *ewma, double elapsed_us, uint64_t now_us);
/* What one more request is expected to cost with so many under way; weight: above 0 to 1. While a request is under way
 * the estimate does not fade, so an endpoint that was slow is tried with one request at a time. */
double ewma_score(const struct tg_ewma *ewma, uint64_t outstanding, double weight, uint64_t now_us);

#endif
