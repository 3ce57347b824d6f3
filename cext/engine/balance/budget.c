#include "balance/budget.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_US UINT64_C(1000000)

struct tg_budget *budget_new(unsigned workers)
{
    const size_t size = sizeof(struct tg_budget) + workers * sizeof(struct tg_budget_share);
    const size_t alignment = _Alignof(struct tg_budget);
    struct tg_budget *budget = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    if (budget == NULL)
        return NULL;
    memset(budget, 0, size);
    budget->workers = workers;
    return budget;
}

static uint32_t second_of(uint64_t now_us)
{
    return (uint32_t)(now_us / SECOND_US) + 1;
}

static void add(_Atomic uint32_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* This worker's slot of the present second. */
static struct tg_budget_slot *present(struct tg_budget *budget, unsigned worker, uint64_t now_us)
{
    const uint32_t second = second_of(now_us);
    struct tg_budget_slot *slot = &budget->share[worker].slots[second % BUDGET_SLOTS];
    if (atomic_load_explicit(&slot->second, memory_order_relaxed) != second) {
        atomic_store_explicit(&slot->requests, 0, memory_order_relaxed);
        for (int kind = 0; kind < TG_BUDGETS; kind++)
            atomic_store_explicit(&slot->taken[kind], 0, memory_order_relaxed);
        atomic_store_explicit(&slot->second, second, memory_order_relaxed);
    }
    return slot;
}

void budget_request(struct tg_budget *budget, unsigned worker, uint64_t now_us)
{
    add(&present(budget, worker, now_us)->requests);
}

/* Of all workers. Requests count for ten seconds at most and what was taken for ten at least, so the percentage holds
 * for any ten seconds, wherever they begin. */
static bool percentage_left(struct tg_budget *budget, enum tg_budget_kind kind, double percent, uint64_t now_us)
{
    const uint32_t second = second_of(now_us);
    uint64_t requests = 0;
    uint64_t taken = 0;
    for (unsigned worker = 0; worker < budget->workers; worker++) {
        for (int i = 0; i < BUDGET_SLOTS; i++) {
            const struct tg_budget_slot *slot = &budget->share[worker].slots[i];
            const uint32_t of = atomic_load_explicit(&slot->second, memory_order_relaxed);
            if (of == 0 || of > second || second - of > BUDGET_SECONDS)
                continue;
            taken += atomic_load_explicit(&slot->taken[kind], memory_order_relaxed);
            if (second - of < BUDGET_SECONDS)
                requests += atomic_load_explicit(&slot->requests, memory_order_relaxed);
        }
    }
    return (double)(taken + 1) * 100.0 <= percent * (double)requests;
}

/* A full reserve is one whose spending lies ten seconds back. */
static bool take_reserve(_Atomic uint64_t *spent_until_us, double per_s, uint64_t now_us)
{
    if (per_s <= 0)
        return false;
    const uint64_t price_us = (uint64_t)(SECOND_US / per_s);
    const uint64_t room_us = BUDGET_SECONDS * SECOND_US;
    const uint64_t full_us = now_us > room_us ? now_us - room_us : 0;
    uint64_t spent_us = atomic_load_explicit(spent_until_us, memory_order_relaxed);
    uint64_t then_us;
    do {
        then_us = (spent_us > full_us ? spent_us : full_us) + price_us;
        if (then_us > now_us)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(spent_until_us, &spent_us, then_us, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

bool budget_take(struct tg_budget *budget, unsigned worker, enum tg_budget_kind kind,
                 const struct tg_allowance *allowance, uint64_t now_us)
{
    if (percentage_left(budget, kind, allowance->percent, now_us)) {
        add(&present(budget, worker, now_us)->taken[kind]);
        return true;
    }
    return take_reserve(&budget->spent_until_us[kind], allowance->per_s, now_us);
}
