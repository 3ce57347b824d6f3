/* Requests that are sent again as their rule has it. For the owning worker only. */
#ifndef TG_REPEAT_H
#define TG_REPEAT_H

#include "exchange/talk.h"
#include "route/spec.h"

/* What has been written of the request is written again, before what was not. False: no memory. */
bool repeat_rewind(struct tg_worker *worker, struct tg_talk *talk);

/* The attempt has failed, and its upstream is dropped. True: there will be another one, after a while. */
bool repeat_after(struct tg_worker *worker, struct tg_relay *relay, enum tg_retry_on failure);

/* The final head of the answer is there, and nothing of it has been written. True: the request is sent again instead,
 * or answered. */
bool repeat_for_status(struct tg_worker *worker, struct tg_relay *relay);

/* The attempt has not brought the head of an answer in time: the request is sent again, or answered. */
void repeat_timed_out(struct tg_worker *worker, struct tg_relay *relay);

/* What is told of an answer of our own after several attempts: bits of enum tg_exchange_flag. */
uint32_t repeat_flags(const struct tg_exchange *exchange);

#endif
