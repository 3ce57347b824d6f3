/* Memory for heads that are being read: the worker's own, as long as a head comes in one piece, else the talk's. For
 * the owning worker only. */
#ifndef TG_LEND_H
#define TG_LEND_H

#include "exchange/talk.h"

/* Before bytes of a head are framed. Returns where the head will stand. */
struct http_head *lend_head(struct tg_worker *worker, struct tg_talk *talk, int from);

/* Gives a head memory of the talk's own, to be looked at in another turn. False: there is none. */
bool lend_keep(struct tg_talk *talk, int from, const struct http_head *head);

/* The head is not whole: `there` bytes of it have been framed, and it goes on in another turn. */
void lend_across(struct tg_worker *worker, struct tg_talk *talk, int from, uint32_t there);

/* The head is whole and has been looked at, or there will be none. */
void lend_end(struct tg_talk *talk, int from);

#endif
