/* Rules for requests that change while requests are made, and a decider that is asked about some. */
#ifndef SITE_H
#define SITE_H

#include <stdint.h>

#include "engine.h"

enum { SITE = 1 };

/* Before the first connection: the door, a cluster of both ports, and a site. */
void site_begin(tg_engine *engine, uint16_t port, uint16_t dead_port);

/* Puts another cluster and other rules in force. */
void site_change(tg_engine *engine);

#endif
