/* When a route's requests are hedged: a live quantile of their times to first byte, and a breaker. The definitions are
 * proxy/core/resilience/quantile.py and hedge.py; the budget is the cluster's. Any thread. */
#ifndef TG_HEDGER_H
#define TG_HEDGER_H

#include <stdbool.h>
#include <stdint.h>

struct tg_hedger;

/* With one reference. NULL: no memory. */
struct tg_hedger *hedger_new(void);
void hedger_take(struct tg_hedger *hedger);    /* one reference more */
void hedger_release(struct tg_hedger *hedger); /* drops one; NULL: there is none */

/* A request begins. Returns what the fraction `quantile` of the last 30 seconds' times does not exceed, in
 * microseconds; 0: fewer than 50 are known. */
uint64_t hedger_begin(struct tg_hedger *hedger, double quantile, uint64_t now_us);

/* The first byte of an answer has come, so long after the request as its caller saw it. */
void hedger_answered(struct tg_hedger *hedger, uint64_t elapsed_us, uint64_t now_us);

/* A request has outlived the quantile: whether the breaker lets it be hedged. */
bool hedger_bears(struct tg_hedger *hedger, double quantile, uint64_t now_us);

#endif
