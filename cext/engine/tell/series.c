#include "tell/series.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "tell/buckets.h"

enum { CHAINS = 8192, BELOW_STATUS = 100 };

/* Of one service, route and endpoint. Immutable but for its worker's links. */
struct owner {
    struct owner *next;
    struct tg_series *first;
    uint32_t variants;
    uint32_t scope;
    uint64_t group;
    size_t service_length, route_length;
    char texts[]; /* service and route, each with a NUL */
};

struct tg_series {
    struct tg_series *next; /* of the same owner */
    const struct owner *owner;
    uint32_t flags;
    uint16_t status;
    int16_t grpc;
    uint8_t major, inbound;
    _Atomic uint64_t requests, answered, attempts;
    _Atomic uint64_t duration_us, upstream_us, proxy_us;
    _Atomic uint64_t request_bytes, response_bytes;
    _Atomic uint64_t durations[TG_BUCKETS], upstream_times[TG_BUCKETS];
    _Atomic uint64_t request_sizes[TG_BUCKETS], response_sizes[TG_BUCKETS];
    _Atomic uint64_t proxy_times[TG_PROXY_BUCKETS];
};

struct tg_series_table {
    _Atomic uint32_t count; /* of `all`; published when the series is whole */
    struct tg_series *rest; /* counts what has no place */
    struct owner *chains[CHAINS];
    struct tg_series *all[TG_MAX_SERIES];
};

static uint64_t hash_text(uint64_t hash, struct tg_text text)
{
    for (size_t i = 0; i < text.length; i++)
        hash = (hash ^ (unsigned char)text.at[i]) * UINT64_C(0x100000001b3);
    return (hash ^ 0xff) * UINT64_C(0x100000001b3); /* where one text ends and the next begins */
}

static bool is_text(const char *kept, size_t kept_length, struct tg_text text)
{
    return kept_length == text.length && (text.length == 0 || memcmp(kept, text.at, text.length) == 0);
}

static struct owner *owner_new(const tg_exchange_record *record, struct tg_text service, struct tg_text route)
{
    struct owner *owner = calloc(1, sizeof *owner + service.length + route.length + 2);
    if (owner == NULL)
        return NULL;
    owner->scope = record->scope;
    owner->group = record->group;
    owner->service_length = service.length;
    owner->route_length = route.length;
    if (service.length != 0)
        memcpy(owner->texts, service.at, service.length);
    if (route.length != 0)
        memcpy(owner->texts + service.length + 1, route.at, route.length);
    return owner;
}

static struct owner *owner_of(struct tg_series_table *table, const tg_exchange_record *record, struct tg_text service,
                              struct tg_text route)
{
    uint64_t hash = hash_text(hash_text(UINT64_C(0xcbf29ce484222325) ^ record->group, service), route);
    struct owner **chain = &table->chains[(hash ^ record->scope ^ hash >> 32) % CHAINS];
    for (struct owner *owner = *chain; owner != NULL; owner = owner->next)
        if (owner->scope == record->scope && owner->group == record->group &&
            is_text(owner->texts, owner->service_length, service) &&
            is_text(owner->texts + owner->service_length + 1, owner->route_length, route))
            return owner;
    if (atomic_load_explicit(&table->count, memory_order_relaxed) >= TG_MAX_SERIES - BELOW_STATUS)
        return NULL;
    struct owner *owner = owner_new(record, service, route);
    if (owner == NULL)
        return NULL;
    owner->next = *chain;
    *chain = owner;
    return owner;
}

static struct tg_series *variant(struct tg_series_table *table, struct owner *owner, const tg_exchange_record *record)
{
    for (struct tg_series *series = owner->first; series != NULL; series = series->next)
        if (series->status == record->status && series->flags == record->flags && series->grpc == record->grpc &&
            series->major == record->major && series->inbound == record->inbound)
            return series;
    const uint32_t count = atomic_load_explicit(&table->count, memory_order_relaxed);
    const bool is_folded = record->status < BELOW_STATUS && record->status != 0;
    if (count >= TG_MAX_SERIES || (owner->variants >= TG_MAX_VARIANTS && !is_folded))
        return NULL;
    struct tg_series *series = calloc(1, sizeof *series);
    if (series == NULL)
        return NULL;
    series->owner = owner;
    series->status = record->status;
    series->flags = record->flags;
    series->grpc = record->grpc;
    series->major = record->major;
    series->inbound = record->inbound;
    series->next = owner->first;
    owner->first = series;
    owner->variants++;
    table->all[count] = series;
    atomic_store_explicit(&table->count, count + 1, memory_order_release);
    return series;
}

static struct tg_series *series_of(struct tg_series_table *table, const tg_exchange_record *record,
                                   struct tg_text service, struct tg_text route)
{
    struct owner *owner = owner_of(table, record, service, route);
    struct tg_series *found = owner == NULL ? NULL : variant(table, owner, record);
    if (found != NULL)
        return found;
    /* Too many: counted by the hundreds of their status, and when there are too many owners, all in one. */
    const tg_exchange_record folded = {
        .status = record->status / 100, .grpc = -1, .major = record->major, .inbound = record->inbound};
    found = owner == NULL ? NULL : variant(table, owner, &folded);
    return found != NULL ? found : table->rest;
}

static struct tg_series_table *table_new(void)
{
    static const struct tg_text none = {NULL, 0};
    static const tg_exchange_record anything = {.grpc = -1, .major = 1};
    struct tg_series_table *table = calloc(1, sizeof *table);
    struct owner *owner = table == NULL ? NULL : owner_new(&anything, none, none);
    if (owner == NULL || (table->rest = variant(table, owner, &anything)) == NULL) {
        free(owner);
        free(table);
        return NULL;
    }
    table->chains[0] = owner;
    return table;
}

void series_count(tg_series_place *place, const tg_exchange_record *record, struct tg_text service,
                  struct tg_text route)
{
    struct tg_series_table *table = atomic_load_explicit(place, memory_order_relaxed);
    if (table == NULL) {
        table = table_new();
        if (table == NULL)
            return;
        atomic_store_explicit(place, table, memory_order_release);
    }
    struct tg_series *series = series_of(table, record, service, route);
    counter_add(&series->attempts, record->attempts);
    counter_add(&series->duration_us, record->duration_us);
    counter_add(&series->proxy_us, record->proxy_us);
    counter_add(&series->request_bytes, record->request_bytes);
    counter_add(&series->response_bytes, record->response_bytes);
    counter_add(&series->durations[bucket_of_time(record->duration_us)], 1);
    counter_add(&series->proxy_times[bucket_of_proxy_time(record->proxy_us)], 1);
    counter_add(&series->request_sizes[bucket_of_size(record->request_bytes)], 1);
    counter_add(&series->response_sizes[bucket_of_size(record->response_bytes)], 1);
    if (record->upstream_us >= 0) {
        counter_add(&series->answered, 1);
        counter_add(&series->upstream_us, (uint64_t)record->upstream_us);
        counter_add(&series->upstream_times[bucket_of_time((uint64_t)record->upstream_us)], 1);
    }
    counter_add(&series->requests, 1);
}

static void copy(const _Atomic uint64_t *from, uint64_t *to, int count)
{
    for (int i = 0; i < count; i++)
        to[i] = counter_read(&from[i]);
}

static void read_one(const struct tg_series *series, tg_exchange_counters *out)
{
    *out = (tg_exchange_counters){
        .service = series->owner->texts,
        .route = series->owner->texts + series->owner->service_length + 1,
        .group = series->owner->group,
        .scope = series->owner->scope,
        .flags = series->flags,
        .status = series->status,
        .grpc = series->grpc,
        .major = series->major,
        .inbound = series->inbound,
        .requests = counter_read(&series->requests),
        .answered = counter_read(&series->answered),
        .attempts = counter_read(&series->attempts),
        .duration_us = counter_read(&series->duration_us),
        .upstream_us = counter_read(&series->upstream_us),
        .proxy_us = counter_read(&series->proxy_us),
        .request_bytes = counter_read(&series->request_bytes),
        .response_bytes = counter_read(&series->response_bytes),
    };
    copy(series->durations, out->durations, TG_BUCKETS);
    copy(series->upstream_times, out->upstream_times, TG_BUCKETS);
    copy(series->request_sizes, out->request_sizes, TG_BUCKETS);
    copy(series->response_sizes, out->response_sizes, TG_BUCKETS);
    copy(series->proxy_times, out->proxy_times, TG_PROXY_BUCKETS);
}

int series_read(tg_series_place *place, uint32_t *index, tg_exchange_counters *out, int max)
{
    const struct tg_series_table *table = atomic_load_explicit(place, memory_order_acquire);
    const uint32_t there = table == NULL ? 0 : atomic_load_explicit(&table->count, memory_order_acquire);
    int count = 0;
    for (; count < max && *index < there; count++)
        read_one(table->all[(*index)++], &out[count]);
    return count;
}

void series_free(tg_series_place *place)
{
    struct tg_series_table *table = atomic_exchange(place, NULL);
    if (table == NULL)
        return;
    for (uint32_t i = 0; i < atomic_load(&table->count); i++)
        free(table->all[i]);
    for (int i = 0; i < CHAINS; i++)
        for (struct owner *owner = table->chains[i], *next; owner != NULL; owner = next) {
            next = owner->next;
            free(owner);
        }
    free(table);
}
