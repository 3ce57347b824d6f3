#include "database/counts.h"

#include <stdlib.h>
#include <string.h>

#include "decide/groups.h"
#include "tell/buckets.h"

/* Shared by all workers: requests to databases come less often than packets. */
struct statement_count {
    _Atomic uint64_t answered;
    _Atomic uint64_t failed;
    _Atomic uint64_t duration_us;
    _Atomic uint64_t durations[TG_BUCKETS];
};

static void add(_Atomic uint64_t *counter, uint64_t number)
{
    atomic_fetch_add_explicit(counter, number, memory_order_relaxed);
}

static uint64_t read_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static struct statement_counts *counts_of(struct tg_group *group)
{
    struct statement_counts *known = atomic_load_explicit(&group->statements, memory_order_acquire);
    if (known != NULL)
        return known;
    struct statement_counts *made = calloc(1, sizeof *made);
    if (made == NULL || atomic_compare_exchange_strong(&group->statements, &known, made))
        return made;
    free(made);
    return known;
}

static struct statement_count *count_of(struct statement_counts *counts, uint16_t kind)
{
    struct statement_count *known = atomic_load_explicit(&counts->of[kind], memory_order_acquire);
    if (known != NULL)
        return known;
    struct statement_count *made = calloc(1, sizeof *made);
    if (made == NULL || atomic_compare_exchange_strong(&counts->of[kind], &known, made))
        return made;
    free(made);
    return known;
}

void statements_count(struct tg_group *group, const struct follow_told *told)
{
    struct statement_counts *counts = counts_of(group);
    struct statement_count *count = counts == NULL ? NULL : count_of(counts, told->kind);
    if (count == NULL)
        return;
    add(&count->duration_us, told->us);
    add(&count->durations[bucket_of_time(told->us)], 1);
    add(told->failed ? &count->failed : &count->answered, 1);
}

bool statements_sum(const struct tg_group *group, uint16_t kind, tg_statements *out)
{
    const struct statement_counts *counts = atomic_load_explicit(&group->statements, memory_order_acquire);
    const struct statement_count *count =
        counts == NULL ? NULL : atomic_load_explicit(&counts->of[kind], memory_order_acquire);
    enum database database;
    const char *name = kind_name(kind, &database);
    if (count == NULL || name == NULL)
        return false;
    *out = (tg_statements){.group = group->id, .database = (int32_t)database};
    memcpy(out->kind, name, sizeof out->kind);
    out->answered = read_of(&count->answered);
    out->failed = read_of(&count->failed);
    out->duration_us = read_of(&count->duration_us);
    for (int i = 0; i < TG_BUCKETS; i++)
        out->durations[i] = read_of(&count->durations[i]);
    return true;
}

void statements_free(struct tg_group *group)
{
    struct statement_counts *counts = atomic_load(&group->statements);
    for (int kind = 0; counts != NULL && kind < DATABASE_KINDS; kind++)
        free(atomic_load(&counts->of[kind]));
    free(counts);
}
