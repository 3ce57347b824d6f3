#include "exchange/rules/size.h"

#include "exchange/ending.h"
#include "exchange/reply.h"
#include "state.h"

bool size_allows(const struct tg_worker *worker, uint64_t bytes)
{
    const uint64_t limit = atomic_load_explicit(&worker->engine->largest_body, memory_order_relaxed);
    return limit == 0 || bytes <= limit;
}

void size_refuse(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    if (talk->exchange.answer == ANSWER_NONE || talk->exchange.answer == ANSWER_HEAD) {
        reply(worker, relay, 413, 0, "the body of the request is larger than is allowed here");
        return;
    }
    talk_drop_upstream(worker, relay, true);
    talk->exchange.request = REQUEST_VOID;
    talk_close(worker, relay);
}

void tg_engine_limit_bodies(tg_engine *engine, uint64_t bytes)
{
    atomic_store(&engine->largest_body, bytes);
}
