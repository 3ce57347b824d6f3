/* How many requests may be repeated, and how many may be hedged: a percentage of the requests of the last ten seconds,
 * and for retries some a second besides, which may be saved up for ten seconds. The definition is
 * proxy/core/resilience/budget.py. No locks: when several workers take the last place at one moment, each may get it.
 */
#ifndef TG_BUDGET_H
#define TG_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "balance/spec.h"

enum { BUDGET_SECONDS = 10, BUDGET_SLOTS = 16 };

/* One worker's counts of one second. */
struct tg_budget_slot {
    _Atomic uint32_t second; /* since the clock's beginning, plus 1; 0: never used */
    _Atomic uint32_t requests;
    _Atomic uint32_t taken[TG_BUDGETS]; /* of the percentage */
};

struct tg_budget_share {
    _Alignas(64) struct tg_budget_slot slots[BUDGET_SLOTS];
};

struct tg_budget {
    _Atomic uint64_t spent_until_us[TG_BUDGETS]; /* what is saved up, as the moment until which it is spent */
    unsigned workers;
    struct tg_budget_share share[]; /* [worker] */
};

struct tg_allowance {
    double percent;
    double per_s;
};

/* NULL: no memory. Freed by free(). */
struct tg_budget *budget_new(unsigned workers);
/* A request has begun: the first try of it alone. */
void budget_request(struct tg_budget *budget, unsigned worker, uint64_t now_us);
/* Takes one from the budget; false: it is used up. */
bool budget_take(struct tg_budget *budget, unsigned worker, enum tg_budget_kind kind,
                 const struct tg_allowance *allowance, uint64_t now_us);

#endif
