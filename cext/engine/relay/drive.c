/* The life of one relay: from two sockets to a completion. What a peer did is done to the other one: FIN becomes FIN,
 * in each direction by itself; a failure becomes RST, never FIN. */
#include "relay/drive.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "base/counter.h"
#include "base/socket.h"
#include "detect/first.h"
#include "exchange/drive.h"
#include "exchange/ending.h"
#include "ready.h"
#include "relay/connect.h"
#include "relay/ending.h"
#include "relay/schedule.h"
#include "relay/transfer.h"

enum { SETTLE_MS = 40 /* for the other side's FIN, after it has acknowledged ours */ };

void relay_begin(struct tg_worker *worker, struct tg_relay *relay)
{
    relay->begun = true;
    if (relay->doomed) {
        relay_end(worker, relay, TG_ABORTED, 0);
        return;
    }
    for (int side = DOWNSTREAM; side <= UPSTREAM; side++) {
        socket_tune(relay->side[side].fd, relay->keepalive_s);
        const int error = side_watch(&relay->side[side], worker->epoll_fd, relay->handle, side);
        if (error < 0) {
            relay_end(worker, relay, TG_INTERNAL_ERROR, -error);
            return;
        }
    }
    relay_schedule(worker, relay);
}

void relay_event(struct tg_worker *worker, struct tg_relay *relay, int side, uint32_t events)
{
    struct tg_side *it = &relay->side[side];
    if (relay->talk != NULL) {
        /* An upstream that was adopted has events of its own. */
        if (side == DOWNSTREAM)
            talk_event(worker, relay, events);
        return;
    }
    side_note(it, events);
    if (side == UPSTREAM && is_connecting(relay)) {
        relay->connection->answered = true;
        relay->connection->troubled = relay->connection->troubled || (events & (EPOLLERR | EPOLLHUP)) != 0;
    } else if (events & EPOLLERR) {
        /* Asked for here because nobody may come to read or write: the direction can be blocked by the other side, or
         * over. */
        int error = 0;
        socklen_t size = sizeof error;
        if (getsockopt(it->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0)
            transfer_side_failed(worker, relay, side, error);
    }
    worker_enqueue(worker, relay);
}

/* One side has failed. True when the other may be reset: it has got every byte, or it doesn't take them.
 * Closing by RST drops what the survivor's kernel buffer still holds, and what was sent may yet have to be sent again
 * (recent kernels drop what exceeds a small receive buffer even on loopback): so bytes count as delivered only when
 * they have been acknowledged. */
static bool reset_is_due(struct tg_worker *worker, struct tg_relay *relay)
{
    const uint64_t now_ms = worker->now_us / 1000;
    const int failed = relay->side[DOWNSTREAM].error != 0 ? DOWNSTREAM : UPSTREAM;
    const struct tg_direction *owed = &relay->direction[failed];
    int unacked = 0;

    if (relay->side[1 - failed].error != 0 || owed->closed)
        return true;
    if (counter_read(&relay->active_ms) + GRACE_MS > relay->grace_ms)
        relay->grace_ms = counter_read(&relay->active_ms) + GRACE_MS;
    if (owed->ended && !direction_is_pending(owed)) {
        if (ioctl(relay->side[1 - failed].fd, SIOCOUTQ, &unacked) < 0 || unacked == 0)
            return true;
        if (relay->unacked >= 0 && unacked < relay->unacked)
            relay->grace_ms = now_ms + GRACE_MS;
        relay->unacked = unacked;
    }
    return now_ms >= relay->grace_ms;
}

/* True when a settling relay may end: the side that is still there has acknowledged everything, and has had its time to
 * close, too. */
static bool has_settled(struct tg_worker *worker, struct tg_relay *relay)
{
    int unacked = 0;
    if (!relay->direction[relay->gone].closed)
        return false;
    if (ioctl(relay->side[1 - relay->gone].fd, SIOCOUTQ, &unacked) == 0 && unacked > 0)
        return false;
    if (relay->settled_ms == 0)
        relay->settled_ms = worker->now_us / 1000 + SETTLE_MS;
    return worker->now_us / 1000 >= relay->settled_ms;
}

void relay_run(struct tg_worker *worker, struct tg_relay *relay)
{
    if (relay->talk != NULL) {
        talk_run(worker, relay);
        return;
    }
    if (is_looking(relay)) {
        first_step(worker, relay);
        if (relay->done || is_looking(relay) || relay->talk != NULL)
            return;
    }
    if (is_connecting(relay)) {
        connect_step(worker, relay);
        if (relay->done || is_connecting(relay))
            return;
    }
    const bool had_failed = is_failed(relay);
    bool more = false;
    for (int from = DOWNSTREAM; from <= UPSTREAM; from++) {
        const enum tg_progress progress = transfer(worker, relay, from);
        more = more || progress == TRANSFER_MORE;
        if (progress == TRANSFER_STARVED)
            relay->retry_ms = worker->now_us / 1000 + RETRY_MS;
    }
    if (is_failed(relay)) {
        if (reset_is_due(worker, relay)) {
            relay_end(worker, relay, relay->reason, relay->error);
            return;
        }
        /* A failure that the second direction met gives the first one something to read. */
        more = more || !had_failed;
        relay_schedule(worker, relay);
    } else if (relay->direction[DOWNSTREAM].closed && relay->direction[UPSTREAM].closed) {
        relay_end(worker, relay, TG_FINISHED, 0);
        return;
    } else if (relay->settling) {
        if (has_settled(worker, relay)) {
            relay_end(worker, relay, TG_FINISHED, 0);
            return;
        }
        relay_schedule(worker, relay);
    } else if (relay->retry_ms != 0) {
        relay_schedule(worker, relay);
    }
    if (more)
        worker_enqueue(worker, relay);
}

void relay_timer(struct tg_worker *worker, struct tg_relay *relay)
{
    const uint64_t now_ms = worker->now_us / 1000;
    if (relay->talk != NULL) {
        talk_timer(worker, relay);
        return;
    }
    if (now_ms >= relay_lifetime_deadline_ms(relay)) {
        relay_end(worker, relay, TG_LIFETIME, 0);
    } else if (!is_connecting(relay) && now_ms >= relay_idle_deadline_ms(relay)) {
        relay_end(worker, relay, TG_IDLE_TIMEOUT, 0);
    } else {
        if (relay_is_looked_at(relay) || is_connecting(relay) || is_looking(relay) ||
            (relay->retry_ms != 0 && now_ms >= relay->retry_ms)) {
            if (now_ms >= relay->retry_ms)
                relay->retry_ms = 0;
            worker_enqueue(worker, relay);
        }
        if (relay->side[UPSTREAM].plain && !is_connecting(relay) && now_ms >= relay->started_us / 1000 + TUNE_MS)
            side_tune_late(&relay->side[UPSTREAM], relay->keepalive_s);
        relay_schedule(worker, relay);
    }
}

void relay_abort(struct tg_worker *worker, struct tg_relay *relay)
{
    /* It may have been submitted after the mailbox was emptied and be in there still: ended now, it would stand in two
     * queues. */
    if (relay->talk != NULL)
        talk_end(worker, relay, TG_ABORTED, 0);
    else if (relay->begun)
        relay_end(worker, relay, TG_ABORTED, 0);
    else
        relay->doomed = true;
}

void relay_settle(struct tg_worker *worker, struct tg_relay *relay, int gone)
{
    if (relay->talk != NULL) {
        talk_settle(worker, relay);
        return;
    }
    relay->settling = true;
    relay->gone = (uint8_t)gone;
    if (relay->begun && !is_connecting(relay))
        worker_enqueue(worker, relay);
}
