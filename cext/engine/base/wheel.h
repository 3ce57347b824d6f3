/* Coarse timers for very many relays: one wheel a worker, an entry in at most one slot.
 * Activity doesn't touch the wheel: when a slot comes due the owner computes the real deadline and arms again. An entry
 * beyond the horizon is looked at once a turn (33 s), so 100,000 idle relays cost about 3,000 looks a second. */
#ifndef TG_WHEEL_H
#define TG_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define TG_TICK_MS 32
#define TG_WHEEL_SLOTS 1024

struct tg_timer {
    struct tg_timer *next;
    struct tg_timer **link; /* what points at us; NULL: not armed */
    uint32_t slot;
};

struct tg_wheel {
    uint64_t tick; /* the last one that was handled */
    struct tg_timer *slots[TG_WHEEL_SLOTS];
    uint64_t occupied[TG_WHEEL_SLOTS / 64];
};

void wheel_start(struct tg_wheel *wheel, uint64_t now_ms);

/* Arms, or moves, a timer: it comes due at the first tick at or after deadline_ms, never early, except beyond the
 * horizon. */
void wheel_arm(struct tg_wheel *wheel, struct tg_timer *timer, uint64_t deadline_ms);
void wheel_disarm(struct tg_wheel *wheel, struct tg_timer *timer);

/* Unlinks and returns one timer that is due at now_ms; NULL: none left, and the wheel has caught up with now_ms. */
struct tg_timer *wheel_due(struct tg_wheel *wheel, uint64_t now_ms);

/* Milliseconds until the next occupied slot, for epoll_wait; -1: the wheel is empty. */
int wheel_timeout(const struct tg_wheel *wheel, uint64_t now_ms);

#endif
