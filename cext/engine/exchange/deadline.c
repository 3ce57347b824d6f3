#include "exchange/deadline.h"

#include "exchange/rules/hedge.h"
#include "exchange/rules/plan.h"

static uint64_t sooner(uint64_t one, uint64_t other_or_none)
{
    return other_or_none != 0 && other_or_none < one ? other_or_none : one;
}

void talk_schedule(struct tg_worker *worker, struct tg_relay *relay)
{
    const struct tg_talk *talk = relay->talk;
    uint64_t wakeup_ms = sooner(relay_idle_deadline_ms(relay), relay_lifetime_deadline_ms(relay));
    wakeup_ms = sooner(wakeup_ms, talk->head_deadline_ms);
    wakeup_ms = sooner(wakeup_ms, talk->connect_deadline_ms);
    wakeup_ms = sooner(wakeup_ms, talk->exchange.deadline_ms);
    wakeup_ms = sooner(wakeup_ms, talk->exchange.try_deadline_ms);
    wakeup_ms = sooner(wakeup_ms, talk->exchange.held_until_ms);
    if (talk->exchange.answer == ANSWER_NONE)
        wakeup_ms = sooner(wakeup_ms, talk->exchange.hedge_ms);
    if (talk->exchange.plan != NULL && talk->exchange.plan->hedge != NULL)
        wakeup_ms = sooner(wakeup_ms, talk->exchange.plan->hedge->connect_deadline_ms);
    wakeup_ms = sooner(wakeup_ms, talk->retry_ms);
    if (talk->lingers)
        wakeup_ms = sooner(wakeup_ms, talk->linger_ms);
    relay_arm(worker, relay, wakeup_ms);
}
