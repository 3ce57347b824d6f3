/* Moves the bytes of a relay, a direction at a time. For the owning worker only. */
#ifndef TG_TRANSFER_H
#define TG_TRANSFER_H

#include "worker.h"

enum { GRACE_MS = 1000 /* without progress, for delivering what a failed side had sent */ };

enum tg_progress {
    TRANSFER_BLOCKED, /* until an event of either socket, or until the direction is over */
    TRANSFER_MORE,    /* the turn is used up, there is more to do */
    TRANSFER_STARVED  /* memory or buffers are missing: try again later */
};

/* Moves what can be moved in the direction that begins at `side`, at most one turn's worth. */
enum tg_progress transfer(struct tg_worker *worker, struct tg_relay *relay, int side);

/* Reads once from a side that no event has told of yet. What comes later must still make an event, so it is not in the
 * epoll yet. */
void transfer_early(struct tg_worker *worker, struct tg_relay *relay, int side);

/* A side's socket failed: what it sent is still owed to the other side, what was meant for it is void. */
void transfer_side_failed(struct tg_worker *worker, struct tg_relay *relay, int side, int error);

#endif
