/* Listening sockets (tg_engine_listen, tg_engine_unlisten). */
#ifndef TG_LISTENERS_H
#define TG_LISTENERS_H

#include "state.h"

/* At the stop, when the workers have been joined: closes all, and resets the connections that were punted and not
 * collected. */
void listeners_close(struct tg_engine *engine);

#endif
