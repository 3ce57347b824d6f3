/* Beginning a connection to an upstream: what a relay's connection and an exchange's have in common. For the owning
 * worker only. */
#ifndef TG_DIAL_H
#define TG_DIAL_H

#include <stdbool.h>

#include "worker.h"

/* On whose behalf a connection is made. */
struct tg_caller {
    const tg_listener *listener;
    const tg_address *client;
    const tg_keepalive *keepalive;
    uint32_t hops;   /* of the accepted connection: own.h */
    bool has_spoken; /* bytes for the upstream are there already */
};

/* Begins to connect a new socket, which is the caller's of this function; or -errno with nothing left open. */
int dial(const struct tg_caller *caller, const tg_address *address);

/* Lists the socket's own address as one of ours, until own_remove(own). */
void dial_remember(struct tg_worker *worker, int fd, const struct tg_caller *caller, const tg_address *address,
                   struct tg_own *own);

/* Whether an attempt failed for lack of something of this process or this host, which is not the endpoint's fault. */
bool dial_is_shortage(int error);

/* How an attempt stands whose socket has had an event. answered: an event came; troubled: it speaks of an error.
 * 0: connected; -EINPROGRESS: nothing known yet; else -errno. */
int dial_result(const struct tg_side *side, bool answered, bool troubled);

#endif
