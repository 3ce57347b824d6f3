/* Rates per caller: a bucket of tokens for each key, in memory that does not grow with the callers. The definition is
 * proxy/core/resilience/callers.py. Any thread: a lock for all buckets of one limit, held for some nanoseconds. */
#ifndef TG_CALLERS_H
#define TG_CALLERS_H

#include <stdbool.h>
#include <stdint.h>

enum { CALLERS_SETS = 16384, CALLERS_FEW_SETS = 64, CALLERS_WAYS = 4 };

struct tg_callers;

/* With one reference. many: each value of a header is a caller; otherwise only routes are told apart. NULL: no memory.
 */
struct tg_callers *callers_new(bool many);
void callers_take(struct tg_callers *callers);    /* one reference more */
void callers_release(struct tg_callers *callers); /* drops one; NULL: there is none */

/* Takes a token of the caller's bucket. Returns 0: admitted; otherwise after how many nanoseconds there will be one.
 * per_s: above 0; burst: at least 1. */
uint64_t callers_admit(struct tg_callers *callers, uint64_t key, double per_s, uint32_t burst, uint64_t now_us);

#endif
