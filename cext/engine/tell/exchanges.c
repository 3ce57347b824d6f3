#include "tell/exchanges.h"

#include <string.h>

#include "state.h"
#include "tell/queues.h"

static const char CUT[] = "...";
enum { CUT_LENGTH = sizeof CUT - 1 };

static uint16_t bounded(struct tg_text text, size_t most)
{
    return (uint16_t)(text.length < most ? text.length : most);
}

static char *keep(char *at, struct tg_text text, uint16_t length)
{
    if (length == 0)
        return at;
    memcpy(at, text.at, length);
    if (length < text.length)
        memcpy(at + length - CUT_LENGTH, CUT, CUT_LENGTH);
    return at + length;
}

static uint64_t next_id(struct tg_worker *worker)
{
    return ++worker->exchanges * TG_MAX_WORKERS + worker->index;
}

static void keep_record(struct tg_worker *worker, const struct exchange_told *told)
{
    tg_exchange_record record = told->record;
    if (record.id == 0)
        record.id = next_id(worker);
    record.method_length = bounded(told->method, TG_MAX_METHOD);
    record.authority_length = bounded(told->authority, TG_MAX_AUTHORITY);
    record.target_length = bounded(told->target, TG_MAX_TARGET);
    record.service_length = bounded(told->service, TG_MAX_NAME);
    record.route_length = bounded(told->route, TG_MAX_NAME);
    const uint32_t size = (uint32_t)(sizeof record + record.method_length + record.authority_length +
                                     record.target_length + record.service_length + record.route_length + 7) &
                          ~UINT32_C(7);
    record.size = size;
    char *at = ring_reserve(&worker->told, size);
    if (at == NULL)
        return;
    memcpy(at, &record, sizeof record);
    at = keep(at + sizeof record, told->method, record.method_length);
    at = keep(at, told->authority, record.authority_length);
    at = keep(at, told->target, record.target_length);
    at = keep(at, told->service, record.service_length);
    keep(at, told->route, record.route_length);
    ring_commit(&worker->told, size);
    engine_signal_records(worker->engine);
}

void exchange_tell(struct tg_worker *worker, const struct exchange_told *told)
{
    const struct tg_text service = {told->service.at, bounded(told->service, TG_MAX_NAME)};
    const struct tg_text route = {told->route.at, bounded(told->route, TG_MAX_NAME)};
    series_count(&worker->series, &told->record, service, route);
    if (atomic_load_explicit(&worker->engine->keeps_exchanges, memory_order_acquire))
        keep_record(worker, told);
}

void exchanges_release(struct tg_worker *worker)
{
    ring_close(&worker->told);
    series_free(&worker->series);
}
