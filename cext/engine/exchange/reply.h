/* Answers of the proxy's own. For the owning worker only. */
#ifndef TG_REPLY_H
#define TG_REPLY_H

#include "exchange/talk.h"

/* Answers the exchange; nothing of another answer may have been written. What was under way for it is dropped, and its
 * upstream, if there is one, is closed. flag: of enum tg_exchange_flag. text: one line that says why, for people. */
void reply(struct tg_worker *worker, struct tg_relay *relay, uint16_t status, uint32_t flag, const char *text);

/* The same, and the client is told after how many seconds it may ask again. */
void reply_later(struct tg_worker *worker, struct tg_relay *relay, uint16_t status, uint32_t flag,
                 uint32_t retry_after_s, const char *text);

/* Answers the exchange with a whole message, which is given over; NULL: there was no memory for it, and the client gets
 * a close. */
void reply_whole(struct tg_worker *worker, struct tg_relay *relay, uint16_t status, uint32_t flag,
                 struct tg_buffer *message);

/* The answer to a request that cannot be framed. */
void reply_to_refused(struct tg_worker *worker, struct tg_relay *relay, enum frame_refusal refusal);

#endif
