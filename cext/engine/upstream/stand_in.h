/* Calling the workload from its client's address, with another port, where capture brings the answers back (tproxy
 * mode: the packets of such connections are marked and routed to this host). Any thread. */
#ifndef TG_STAND_IN_H
#define TG_STAND_IN_H

#include <stdbool.h>

#include "engine.h"

enum { STAND_IN_TRIES = 16 };

/* Whether capture gave us the accepted socket as TPROXY does: with its addresses unchanged, on a transparent listener.
 */
bool stand_in_suits(int fd, const tg_address *original);

/* Binds a new socket, that is to be connected to `to`, to the client's address. The caller keeps the socket. 0, or
 * -errno: -EPERM without CAP_NET_RAW, -EADDRNOTAVAIL when no port was found. Connecting may still fail with
 * EADDRNOTAVAIL, if another socket of ours has the same two ends: then another try with another socket helps. */
int stand_in_bind(int fd, const tg_address *client, const tg_address *to);

#endif
