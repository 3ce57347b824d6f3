/* Drives a talk from its beginning to its end. For the owning worker only. */
#ifndef TG_EXCHANGE_DRIVE_H
#define TG_EXCHANGE_DRIVE_H

#include <stdint.h>

#include "exchange/talk.h"

/* The connection speaks HTTP/1: what its client has said so far is with the relay, and perhaps an upstream. */
void talk_begin(struct tg_worker *worker, struct tg_relay *relay);

/* Notes what epoll tells of the client's side; talk_run does the work. */
void talk_event(struct tg_worker *worker, struct tg_relay *relay, uint32_t events);

/* The same of an upstream, whoever has it. */
void upstream_event(struct tg_worker *worker, uint64_t handle, uint32_t events);

/* A bounded piece of work. */
void talk_run(struct tg_worker *worker, struct tg_relay *relay);

/* A deadline may be over. */
void talk_timer(struct tg_worker *worker, struct tg_relay *relay);

/* See tg_engine_settle. */
void talk_settle(struct tg_worker *worker, struct tg_relay *relay);

#endif
