#include "base/wheel.h"

#include <stddef.h>

static uint64_t bit_of(uint32_t slot)
{
    return UINT64_C(1) << (slot % 64);
}

void wheel_start(struct tg_wheel *wheel, uint64_t now_ms)
{
    wheel->tick = now_ms / TG_TICK_MS;
}

void wheel_disarm(struct tg_wheel *wheel, struct tg_timer *timer)
{
    if (timer->link == NULL)
        return;
    *timer->link = timer->next;
    if (timer->next != NULL)
        timer->next->link = timer->link;
    timer->link = NULL;
    if (wheel->slots[timer->slot] == NULL)
        wheel->occupied[timer->slot / 64] &= ~bit_of(timer->slot);
}

void wheel_arm(struct tg_wheel *wheel, struct tg_timer *timer, uint64_t deadline_ms)
{
    uint64_t tick = (deadline_ms + TG_TICK_MS - 1) / TG_TICK_MS;
    if (tick <= wheel->tick)
        tick = wheel->tick + 1;
    if (tick - wheel->tick >= TG_WHEEL_SLOTS)
        tick = wheel->tick + TG_WHEEL_SLOTS - 1;
    wheel_disarm(wheel, timer);
    timer->slot = (uint32_t)(tick % TG_WHEEL_SLOTS);
    struct tg_timer **head = &wheel->slots[timer->slot];
    timer->next = *head;
    timer->link = head;
    if (*head != NULL)
        (*head)->link = &timer->next;
    *head = timer;
    wheel->occupied[timer->slot / 64] |= bit_of(timer->slot);
}

/* How many ticks from the current one to the next occupied slot; 0: none is. */
static uint64_t distance(const struct tg_wheel *wheel)
{
    const uint32_t start = (uint32_t)((wheel->tick + 1) % TG_WHEEL_SLOTS);
    for (uint32_t passed = 0; passed < TG_WHEEL_SLOTS;) {
        const uint32_t slot = (start + passed) % TG_WHEEL_SLOTS;
        const uint64_t word = wheel->occupied[slot / 64] >> (slot % 64);
        if (word != 0)
            return (uint64_t)passed + (uint64_t)__builtin_ctzll(word) + 1;
        passed += 64 - slot % 64;
    }
    return 0;
}

struct tg_timer *wheel_due(struct tg_wheel *wheel, uint64_t now_ms)
{
    const uint64_t now = now_ms / TG_TICK_MS;
    while (wheel->tick < now) {
        const uint64_t ahead = distance(wheel);
        if (ahead == 0 || wheel->tick + ahead > now) {
            wheel->tick = now;
            break;
        }
        /* The tick is only passed once its slot is empty; whatever is armed meanwhile goes to a later slot. */
        struct tg_timer *timer = wheel->slots[(wheel->tick + ahead) % TG_WHEEL_SLOTS];
        wheel->tick += ahead - 1;
        wheel_disarm(wheel, timer);
        return timer;
    }
    return NULL;
}

int wheel_timeout(const struct tg_wheel *wheel, uint64_t now_ms)
{
    const uint64_t ahead = distance(wheel);
    if (ahead == 0)
        return -1;
    const uint64_t due_ms = (wheel->tick + ahead) * TG_TICK_MS;
    return due_ms > now_ms ? (int)(due_ms - now_ms) : 0;
}
