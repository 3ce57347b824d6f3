/* The PROXY protocol: an upstream connection to the workload begins with a header that names the client. */
#ifndef TG_ANNOUNCE_H
#define TG_ANNOUNCE_H

#include "worker.h"

/* Sends the header where the port of `upstream` wants one. The socket has just been connected to it for this
 * connection, and nothing has been sent. 0, or -errno: then nothing may follow on that socket. */
int announce(const struct tg_worker *worker, const struct tg_connection *connection, const tg_address *upstream,
             int fd);

#endif
