#include "relay/schedule.h"

#include "base/counter.h"

enum { LOOK_MS = 32 /* between looks at what the survivor has not acknowledged: no event tells */ };

static uint64_t sooner(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

uint64_t relay_idle_deadline_ms(const struct tg_relay *relay)
{
    return relay->idle_timeout_ms == 0 ? UINT64_MAX : counter_read(&relay->active_ms) + relay->idle_timeout_ms;
}

uint64_t relay_lifetime_deadline_ms(const struct tg_relay *relay)
{
    return relay->lifetime_ms == 0 ? UINT64_MAX : relay->started_us / 1000 + relay->lifetime_ms;
}

static uint64_t attempt_deadline_ms(const struct tg_relay *relay)
{
    return relay->connection->attempt_deadline_ms == 0 ? UINT64_MAX : relay->connection->attempt_deadline_ms;
}

/* Whether looks at what a peer's kernel has acknowledged are due: no event tells of that. */
bool relay_is_looked_at(const struct tg_relay *relay)
{
    return relay->side[DOWNSTREAM].error != 0 || relay->side[UPSTREAM].error != 0 ||
           (relay->settling && !is_connecting(relay));
}

void relay_arm(struct tg_worker *worker, struct tg_relay *relay, uint64_t wakeup_ms)
{
    const uint64_t now_ms = worker->now_us / 1000;
    /* The wheel wants the future: a deadline that is just being served would come due again at once. */
    if (wakeup_ms <= now_ms)
        wakeup_ms = now_ms + 1;
    if (wakeup_ms == UINT64_MAX || (relay->timer.link != NULL && relay->wakeup_ms <= wakeup_ms))
        return;
    relay->wakeup_ms = wakeup_ms;
    wheel_arm(&worker->wheel, &relay->timer, wakeup_ms);
}

/* Arms the timer for the earliest of the relay's deadlines. Activity only moves deadlines back, and then the timer
 * finds out when it fires. */
void relay_schedule(struct tg_worker *worker, struct tg_relay *relay)
{
    const uint64_t now_ms = worker->now_us / 1000;
    uint64_t wakeup_ms = sooner(is_connecting(relay) ? attempt_deadline_ms(relay) : relay_idle_deadline_ms(relay),
                                relay_lifetime_deadline_ms(relay));
    if (relay_is_looked_at(relay))
        wakeup_ms = sooner(wakeup_ms, now_ms + LOOK_MS);
    if (is_looking(relay) && relay->connection->hold_ms != 0)
        wakeup_ms = sooner(wakeup_ms, relay->connection->hold_ms);
    if (relay->retry_ms != 0)
        wakeup_ms = sooner(wakeup_ms, relay->retry_ms);
    if (relay->side[UPSTREAM].plain && !is_connecting(relay))
        wakeup_ms = sooner(wakeup_ms, relay->started_us / 1000 + TUNE_MS);
    relay_arm(worker, relay, wakeup_ms);
}

void relay_retry_later(struct tg_worker *worker, struct tg_relay *relay)
{
    relay->retry_ms = worker->now_us / 1000 + RETRY_MS;
    relay_schedule(worker, relay);
}
