/* The life of one relay: from two sockets to a completion. What a peer did is done to the other one: FIN becomes FIN,
 * in each direction by itself; a failure becomes RST, never FIN. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "internal.h"

enum {
    GRACE_MS = 1000, /* without progress, for delivering what a failed side had sent */
    LOOK_MS = 32,    /* between looks at what the survivor has not acknowledged: no event tells */
    RETRY_MS = 64,   /* after a shortage of memory */
    TUNE_MS = 1000,  /* after which a connection is no short one */
    SETTLE_MS = 40   /* for the other side's FIN, after it has acknowledged ours */
};

static void set_option(int fd, int level, int name, int value)
{
    /* Best effort: AF_UNIX has no TCP options, and a relay without them is still a correct one. */
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

/* Urgent bytes stay in the stream, in their place, instead of being lost. */
void socket_keep_urgent(int fd)
{
    set_option(fd, SOL_SOCKET, SO_OOBINLINE, 1);
}

void relay_tune_late(struct tg_relay *relay, int side)
{
    relay->side[side].plain = false;
    socket_tune(relay->side[side].fd, relay->keepalive_s);
}

void socket_tune(int fd, uint32_t keepalive_s)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    socket_keep_urgent(fd);
    if (keepalive_s > 0) {
        const int interval = keepalive_s >= 30 ? (int)(keepalive_s / 3) : 10;
        set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)keepalive_s);
        set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval);
        set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
        set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    }
}

/* Closing with a linger time of zero sends RST and drops what is unsent. */
void socket_reset(int fd)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

static uint64_t sooner(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

static uint64_t idle_deadline_ms(const struct tg_relay *relay)
{
    return relay->idle_timeout_ms == 0 ? UINT64_MAX : counter_read(&relay->active_ms) + relay->idle_timeout_ms;
}

static uint64_t lifetime_deadline_ms(const struct tg_relay *relay)
{
    return relay->lifetime_ms == 0 ? UINT64_MAX : relay->started_us / 1000 + relay->lifetime_ms;
}

static bool is_connecting(const struct tg_relay *relay)
{
    return relay->connection != NULL && relay->connection->connecting;
}

static uint64_t attempt_deadline_ms(const struct tg_relay *relay)
{
    return relay->connection->attempt_deadline_ms == 0 ? UINT64_MAX : relay->connection->attempt_deadline_ms;
}

/* Whether looks at what a peer's kernel has acknowledged are due: no event tells of that. */
static bool is_looked_at(const struct tg_relay *relay)
{
    return relay->side[DOWNSTREAM].error != 0 || relay->side[UPSTREAM].error != 0 ||
           (relay->settling && !is_connecting(relay));
}

static bool is_failed(const struct tg_relay *relay)
{
    return relay->side[DOWNSTREAM].error != 0 || relay->side[UPSTREAM].error != 0;
}

/* Arms the timer for the earliest of the relay's deadlines. Activity only moves deadlines back, and then the timer
 * finds out when it fires. */
void relay_schedule(struct tg_worker *worker, struct tg_relay *relay)
{
    const uint64_t now_ms = worker->now_us / 1000;
    uint64_t wakeup_ms = sooner(is_connecting(relay) ? attempt_deadline_ms(relay) : idle_deadline_ms(relay),
                                lifetime_deadline_ms(relay));
    if (is_looked_at(relay))
        wakeup_ms = sooner(wakeup_ms, now_ms + LOOK_MS);
    if (relay->retry_ms != 0)
        wakeup_ms = sooner(wakeup_ms, relay->retry_ms);
    if (relay->side[UPSTREAM].plain && !is_connecting(relay))
        wakeup_ms = sooner(wakeup_ms, relay->started_us / 1000 + TUNE_MS);
    /* The wheel wants the future: a deadline that is just being served would come due again at once. */
    if (wakeup_ms <= now_ms)
        wakeup_ms = now_ms + 1;
    if (wakeup_ms == UINT64_MAX || (relay->timer.link != NULL && relay->wakeup_ms <= wakeup_ms))
        return;
    relay->wakeup_ms = wakeup_ms;
    wheel_arm(&worker->wheel, &relay->timer, wakeup_ms);
}

void relay_retry_later(struct tg_worker *worker, struct tg_relay *relay)
{
    relay->retry_ms = worker->now_us / 1000 + RETRY_MS;
    relay_schedule(worker, relay);
}

int relay_watch(struct tg_worker *worker, struct tg_relay *relay, int side)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
        .data.u64 = (relay->handle & ~UINT64_C(0xff)) | (uint64_t)side,
    };
    return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, relay->side[side].fd, &event) < 0 ? -errno : 0;
}

void relay_begin(struct tg_worker *worker, struct tg_relay *relay)
{
    relay->begun = true;
    if (relay->doomed) {
        relay_end(worker, relay, TG_ABORTED, 0);
        return;
    }
    for (int side = DOWNSTREAM; side <= UPSTREAM; side++) {
        socket_tune(relay->side[side].fd, relay->keepalive_s);
        const int error = relay_watch(worker, relay, side);
        if (error < 0) {
            relay_end(worker, relay, TG_INTERNAL_ERROR, -error);
            return;
        }
    }
    relay_schedule(worker, relay);
}

void relay_side_failed(struct tg_worker *worker, struct tg_relay *relay, int side, int error)
{
    if (relay->side[side].error != 0)
        return;
    if (!is_failed(relay)) {
        relay->reason = side == DOWNSTREAM ? TG_DOWNSTREAM_RESET : TG_UPSTREAM_RESET;
        relay->error = error;
        relay->grace_ms = worker->now_us / 1000 + GRACE_MS;
        relay->unacked = -1;
    }
    relay->side[side].error = error;
    relay->side[side].readable = true; /* until recv says that nothing is left */
    relay->side[side].eager = true;
    relay->direction[1 - side].abandoned = true;
    transfer_discard(worker, &relay->direction[1 - side]);
}

void relay_event(struct tg_worker *worker, struct tg_relay *relay, int side, uint32_t events)
{
    struct tg_side *it = &relay->side[side];
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
        it->eager = true;
    /* Not after a failure, whose events include this one. */
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == EPOLLRDHUP)
        it->fin = true;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
        it->readable = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        it->writable = true;
    if (side == UPSTREAM && is_connecting(relay)) {
        relay->connection->answered = true;
        relay->connection->troubled = relay->connection->troubled || (events & (EPOLLERR | EPOLLHUP)) != 0;
    } else if (events & EPOLLERR) {
        /* Asked for here because nobody may come to read or write: the direction can be blocked by the other side, or
         * over. */
        int error = 0;
        socklen_t size = sizeof error;
        if (getsockopt(it->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0)
            relay_side_failed(worker, relay, side, error);
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
    if (owed->ended && !transfer_pending(owed)) {
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
    if (now_ms >= lifetime_deadline_ms(relay)) {
        relay_end(worker, relay, TG_LIFETIME, 0);
    } else if (!is_connecting(relay) && now_ms >= idle_deadline_ms(relay)) {
        relay_end(worker, relay, TG_IDLE_TIMEOUT, 0);
    } else {
        if (is_looked_at(relay) || is_connecting(relay) || (relay->retry_ms != 0 && now_ms >= relay->retry_ms)) {
            if (now_ms >= relay->retry_ms)
                relay->retry_ms = 0;
            worker_enqueue(worker, relay);
        }
        if (relay->side[UPSTREAM].plain && !is_connecting(relay) && now_ms >= relay->started_us / 1000 + TUNE_MS)
            relay_tune_late(relay, UPSTREAM);
        relay_schedule(worker, relay);
    }
}

void relay_abort(struct tg_worker *worker, struct tg_relay *relay)
{
    /* It may have been submitted after the mailbox was emptied and be in there still: ended now, it would stand in two
     * queues. */
    if (relay->begun)
        relay_end(worker, relay, TG_ABORTED, 0);
    else
        relay->doomed = true;
}

void relay_settle(struct tg_worker *worker, struct tg_relay *relay, int gone)
{
    relay->settling = true;
    relay->gone = (uint8_t)gone;
    if (relay->begun && !is_connecting(relay))
        worker_enqueue(worker, relay);
}

void relay_end(struct tg_worker *worker, struct tg_relay *relay, int reason, int error)
{
    relay->reason = reason;
    relay->error = error;
    relay->done = true;
    relay->ended_us = clock_us();
    for (int side = DOWNSTREAM; side <= UPSTREAM; side++) {
        transfer_discard(worker, &relay->direction[side]);
        if (relay->side[side].fd < 0)
            continue;
        /* A side to which the other one's FIN was passed on has been sent everything: its kernel may go on with it. */
        if (reason == TG_FINISHED || (reason == TG_ABORTED && relay->direction[1 - side].closed))
            close(relay->side[side].fd);
        else
            socket_reset(relay->side[side].fd);
    }
    if (relay->connection != NULL)
        connection_closed(worker, relay);
    wheel_disarm(&worker->wheel, &relay->timer);
    worker_retire(worker, relay);
}
