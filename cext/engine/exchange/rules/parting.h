/* How an engine whose clients are to come by another connection says so. For the owning worker only. */
#ifndef TG_PARTING_H
#define TG_PARTING_H

#include "base/pool.h"
#include "exchange/talk.h"
#include "http/head.h"

/* The head of an answer as the client gets it: `edited` (NULL: the bytes as they came), or, while the engine parts or
 * drains, one that says that the connection closes. Then the talk closes after this exchange. The caller owns what is
 * returned, and no longer owns `edited`. A head that can't be made to say so, or for which there is no memory, stays as
 * it was; the next answer is tried. */
struct tg_buffer *parting_head(const struct tg_engine *engine, struct tg_talk *talk, const struct http_head *head,
                               const char *bytes, struct tg_buffer *edited);

#endif
