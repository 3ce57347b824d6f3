/* What the engine does to a socket besides reading and writing. */
#ifndef TG_SOCKET_H
#define TG_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"

/* The options of a connection that lasts. keepalive_s 0: the socket's own keepalive settings stay. */
void socket_tune(int fd, uint32_t keepalive_s);

/* Finds out about a peer that has vanished. */
void socket_keep_alive(int fd, const tg_keepalive *keepalive);

/* Urgent bytes stay in the stream, in their place, instead of being lost. */
void socket_keep_urgent(int fd);

/* Tells eBPF capture for which client the socket will call the workload, which then sees that client as its peer.
 * Elsewhere nothing hears it. */
void socket_name_client(int fd, const tg_address *client);

/* Closes by RST, which drops what is unsent. The descriptor is gone afterwards. */
void socket_reset(int fd);

/* Whether a socket call failed for lack of memory, which may pass. */
bool socket_is_shortage(int error);

#endif
