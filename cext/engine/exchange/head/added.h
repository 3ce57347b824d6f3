/* Headers that the operator wants in every request: none at first (contract: nothing is added that was not asked for).
 */
#ifndef TG_ADDED_H
#define TG_ADDED_H

#include "http/head.h"
#include "worker.h"

enum { ADDED_ROOM = 160 /* bytes that added_lines writes at most */ };

/* Writes whole lines, to go behind the request's last header; returns their length. For the owning worker only. */
size_t added_lines(const struct tg_worker *worker, const struct tg_connection *connection, const struct http_head *head,
                   const char *bytes, char out[ADDED_ROOM]);

#endif
