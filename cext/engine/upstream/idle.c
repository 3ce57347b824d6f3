#include "upstream/idle.h"

#include "base/address.h"
#include "state.h"

enum { SWEEP_MS = 1000 };

static struct tg_upstream **chain_of(struct tg_worker *worker, uint32_t scope, const tg_address *address)
{
    return &worker->idle.chains[address_hash(address, worker->memory.seed + scope) % TG_IDLE_CHAINS];
}

static void unlink_idle(struct tg_idle *idle, struct tg_upstream *upstream)
{
    *upstream->link = upstream->next;
    if (upstream->next != NULL)
        upstream->next->link = upstream->link;
    if (upstream->older != NULL)
        upstream->older->newer = upstream->newer;
    else
        idle->oldest = upstream->newer;
    if (upstream->newer != NULL)
        upstream->newer->older = upstream->older;
    else
        idle->newest = upstream->older;
    upstream->next = upstream->older = upstream->newer = NULL;
    upstream->link = NULL;
    idle->count--;
}

static void close_idle(struct tg_worker *worker, struct tg_upstream *upstream)
{
    unlink_idle(&worker->idle, upstream);
    upstream_close(worker, upstream, false);
}

struct tg_upstream *idle_take(struct tg_worker *worker, uint32_t scope, const tg_address *address)
{
    struct tg_upstream *upstream = *chain_of(worker, scope, address);
    while (upstream != NULL && (upstream->scope != scope || !address_equal(&upstream->address, address)))
        upstream = upstream->next;
    if (upstream != NULL)
        unlink_idle(&worker->idle, upstream);
    return upstream;
}

void idle_put(struct tg_worker *worker, struct tg_upstream *upstream, uint64_t timeout_ms)
{
    struct tg_idle *idle = &worker->idle;
    struct tg_upstream **chain = chain_of(worker, upstream->scope, &upstream->address);
    upstream->relay = NULL;
    upstream->idle_until_ms = timeout_ms == 0 ? UINT64_MAX : worker->now_us / 1000 + timeout_ms;
    upstream->next = *chain;
    upstream->link = chain;
    if (upstream->next != NULL)
        upstream->next->link = &upstream->next;
    *chain = upstream;
    upstream->older = idle->newest;
    if (idle->newest != NULL)
        idle->newest->newer = upstream;
    else
        idle->oldest = upstream;
    idle->newest = upstream;
    if (++idle->count > TG_IDLE_MAX)
        close_idle(worker, idle->oldest);
    if (idle->timer.link == NULL && timeout_ms != 0)
        wheel_arm(&worker->wheel, &idle->timer, worker->now_us / 1000 + SWEEP_MS);
}

void idle_event(struct tg_worker *worker, struct tg_upstream *upstream)
{
    const struct tg_side *side = &upstream->side;
    /* That it can be written to is told of connections that were adopted, too. */
    if (side->readable || side->fin || side->error != 0)
        close_idle(worker, upstream);
}

void idle_sweep(struct tg_worker *worker)
{
    const uint64_t now_ms = worker->now_us / 1000;
    struct tg_upstream *next;
    for (struct tg_upstream *one = worker->idle.oldest; one != NULL; one = next) {
        next = one->newer;
        if (now_ms >= one->idle_until_ms)
            close_idle(worker, one);
    }
    if (worker->idle.count > 0)
        wheel_arm(&worker->wheel, &worker->idle.timer, now_ms + SWEEP_MS);
}

bool idle_give_up_one(struct tg_worker *worker)
{
    if (worker->idle.oldest == NULL)
        return false;
    close_idle(worker, worker->idle.oldest);
    return true;
}

bool idle_give_up_of(struct tg_worker *worker, const struct tg_usage *usage)
{
    struct tg_upstream *one = worker->idle.oldest;
    while (one != NULL && one->taken.usage != usage)
        one = one->newer;
    if (one != NULL)
        close_idle(worker, one);
    return one != NULL;
}

void idle_close(struct tg_worker *worker)
{
    while (worker->idle.oldest != NULL)
        close_idle(worker, worker->idle.oldest);
    wheel_disarm(&worker->wheel, &worker->idle.timer);
}
