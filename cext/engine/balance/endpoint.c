#include "balance/endpoint.h"

#include <stdlib.h>
#include <string.h>

#include "base/counter.h"

struct tg_endpoint_state *endpoint_new(struct tg_newsroom *room, uint64_t group, unsigned workers)
{
    const size_t size = sizeof(struct tg_endpoint_state) + workers * sizeof(struct tg_endpoint_share);
    const size_t alignment = _Alignof(struct tg_endpoint_state);
    struct tg_endpoint_state *state = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    if (state == NULL)
        return NULL;
    memset(state, 0, size);
    state->room = room;
    state->group = group;
    return state;
}

void endpoint_free(struct tg_endpoint_state *state)
{
    free(atomic_load(&state->statuses));
    free(state);
}

static void tell(struct tg_endpoint_state *state, uint32_t what)
{
    /* The mailbox's reference. It is taken while the caller's cluster holds one. */
    if (atomic_fetch_or(&state->news, what) == 0) {
        atomic_fetch_add(&state->references, 1);
        news_post(state->room, &state->node);
    }
}

static void count_in_row(struct tg_endpoint_state *state, const struct tg_rows *rows, enum tg_row row)
{
    const uint32_t count = atomic_fetch_add(&state->in_a_row[row], 1) + 1;
    if (rows->threshold[row] != 0 && count >= rows->threshold[row]) {
        atomic_store(&state->in_a_row[row], 0);
        tell(state, 1u << row);
    }
}

/* Written only where it changes: the good case touches no shared cache line. */
static void end_row(struct tg_endpoint_state *state, enum tg_row row)
{
    if (atomic_load_explicit(&state->in_a_row[row], memory_order_relaxed) != 0)
        atomic_store_explicit(&state->in_a_row[row], 0, memory_order_relaxed);
}

static void count_status(struct tg_endpoint_state *state, int status)
{
    struct tg_statuses *statuses = atomic_load(&state->statuses);
    if (statuses == NULL) {
        struct tg_statuses *expected = NULL;
        statuses = calloc(1, sizeof *statuses);
        if (statuses == NULL)
            return;
        if (!atomic_compare_exchange_strong(&state->statuses, &expected, statuses)) {
            free(statuses);
            statuses = expected;
        }
    }
    atomic_fetch_add_explicit(&statuses->count[status - TG_FIRST_STATUS], 1, memory_order_relaxed);
}

static void failed(struct tg_endpoint_state *state, const struct tg_rows *rows, enum tg_request_end how)
{
    atomic_fetch_add_explicit(&state->failures[how], 1, memory_order_relaxed);
    count_in_row(state, rows, TG_ROW_LOCAL);
    if (!rows->split_local) {
        count_in_row(state, rows, TG_ROW_GATEWAY);
        count_in_row(state, rows, TG_ROW_5XX);
    }
    if (rows->trial)
        tell(state, TG_TRIAL_FAILED);
}

void state_began(struct tg_endpoint_state *state, unsigned worker)
{
    counter_add(&state->share[worker].outstanding, 1);
    atomic_fetch_add_explicit(&state->requests, 1, memory_order_relaxed);
}

void state_answered(struct tg_endpoint_state *state, unsigned worker, const struct tg_rows *rows, int status,
                    uint64_t latency_us, uint64_t now_us)
{
    struct tg_endpoint_share *share = &state->share[worker];
    counter_add(&share->answered, 1);
    end_row(state, TG_ROW_LOCAL);
    if (status >= TG_FIRST_STATUS && status < TG_FIRST_STATUS + TG_STATUSES)
        count_status(state, status);
    if (status < 500) {
        ewma_observe(&share->ewma, (double)latency_us, now_us);
        end_row(state, TG_ROW_5XX);
        end_row(state, TG_ROW_GATEWAY);
        if (rows->trial)
            tell(state, TG_TRIAL_PASSED);
        return;
    }
    /* An error that comes fast says nothing about how fast an answer comes, and must not attract more requests. */
    if ((double)latency_us >= atomic_load_explicit(&share->ewma.cost_us, memory_order_relaxed))
        ewma_observe(&share->ewma, (double)latency_us, now_us);
    if (status >= 502 && status <= 504)
        count_in_row(state, rows, TG_ROW_GATEWAY);
    else
        end_row(state, TG_ROW_GATEWAY);
    count_in_row(state, rows, TG_ROW_5XX);
    if (rows->trial)
        tell(state, TG_TRIAL_FAILED);
}

void state_ended(struct tg_endpoint_state *state, unsigned worker, const struct tg_rows *rows, enum tg_request_end how,
                 uint64_t elapsed_us, uint64_t now_us)
{
    struct tg_endpoint_share *share = &state->share[worker];
    counter_add(&share->outstanding, (uint64_t)-1);
    atomic_fetch_sub_explicit(&state->requests, 1, memory_order_relaxed);
    if (how == TG_REQUEST_DONE || how == TG_REQUEST_CANCELLED)
        return;
    ewma_penalize(&share->ewma, (double)elapsed_us, now_us);
    failed(state, rows, how);
}

void endpoint_count(const struct tg_endpoint_state *state, unsigned workers, tg_endpoint_counts *out)
{
    const struct tg_statuses *statuses = atomic_load(&state->statuses);
    for (unsigned worker = 0; worker < workers; worker++) {
        const struct tg_endpoint_share *share = &state->share[worker];
        const double cost_us = atomic_load_explicit(&share->ewma.cost_us, memory_order_relaxed);
        out->answered += counter_read(&share->answered);
        if (cost_us > out->cost_us)
            out->cost_us = cost_us;
    }
    for (int how = 0; how < TG_ENDINGS_OF_REQUESTS; how++)
        out->failures[how] = atomic_load_explicit(&state->failures[how], memory_order_relaxed);
    for (int i = 0; statuses != NULL && i < TG_STATUSES; i++)
        out->statuses[i] = atomic_load_explicit(&statuses->count[i], memory_order_relaxed);
    out->outstanding = atomic_load_explicit(&state->requests, memory_order_relaxed);
    out->connections = atomic_load_explicit(&state->connections, memory_order_relaxed);
}
