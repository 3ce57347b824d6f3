#include "exchange/drive.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "exchange/answer.h"
#include "exchange/deadline.h"
#include "exchange/ending.h"
#include "exchange/place.h"
#include "exchange/reply.h"
#include "exchange/request.h"
#include "exchange/rules/gate.h"
#include "exchange/rules/hedge.h"
#include "exchange/rules/plan.h"
#include "exchange/rules/repeat.h"
#include "explicit/requests.h"
#include "mirror/copy.h"
#include "ready.h"
#include "relay/ending.h"
#include "state.h"

enum { STEPS_PER_TURN = 64 };

void talk_begin(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = calloc(1, sizeof *talk);
    if (talk == NULL) {
        relay_end(worker, relay, TG_INTERNAL_ERROR, ENOMEM);
        return;
    }
    relay->talk = talk;
    if (relay->connection->listener.is_explicit && !explicit_open(relay)) {
        free(talk);
        relay->talk = NULL;
        relay_end(worker, relay, TG_INTERNAL_ERROR, ENOMEM);
        return;
    }
    talk->exchange.kept = talk->exchange.small;
    exchange_reset(&talk->exchange);
    frame_requests(&talk->frame[DOWNSTREAM]);
    talk->flow[DOWNSTREAM].buffer = relay->direction[DOWNSTREAM].buffer;
    relay->direction[DOWNSTREAM].buffer = NULL;
    talk->has_ended = relay->direction[DOWNSTREAM].ended;
    talk->target = relay->connection->target;
    if (relay->side[UPSTREAM].fd >= 0) {
        const uint64_t deadline_ms = relay->connection->attempt_deadline_ms;
        const int error = upstream_adopt(worker, relay, &talk->upstream);
        if (error < 0) {
            talk_end(worker, relay, TG_INTERNAL_ERROR, -error);
            return;
        }
        talk->connect_deadline_ms = talk->upstream->connecting ? deadline_ms : 0;
    }
    relay->connection->connecting = false;
    worker_enqueue(worker, relay);
}

void talk_event(struct tg_worker *worker, struct tg_relay *relay, uint32_t events)
{
    struct tg_side *side = talk_downstream(relay);
    side_note(side, events);
    if (events & EPOLLERR) {
        int error = 0;
        socklen_t size = sizeof error;
        if (getsockopt(side->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0)
            side->error = error;
    }
    worker_enqueue(worker, relay);
}

void upstream_event(struct tg_worker *worker, uint64_t handle, uint32_t events)
{
    struct tg_upstream *upstream = upstream_find(worker, handle);
    if (upstream == NULL)
        return;
    upstream_note(upstream, events);
    if (upstream->copy != NULL)
        copy_event(worker, upstream);
    else if (upstream->relay == NULL)
        idle_event(worker, upstream);
    else
        worker_enqueue(worker, upstream->relay);
}

/* Reads and drops, until the client has seen that all is said. */
static void linger(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_side *side = talk_downstream(relay);
    enum flow_step step = FLOW_MOVED;
    for (int i = 0; i < STEPS_PER_TURN && step == FLOW_MOVED && side->readable; i++) {
        step = flow_read(&worker->pool, &talk->flow[DOWNSTREAM], side);
        flow_drop(&worker->pool, &talk->flow[DOWNSTREAM]);
    }
    if (step == FLOW_END || step == FLOW_FAILED || side->error != 0 || worker->now_us / 1000 >= talk->linger_ms)
        talk_end(worker, relay, TG_FINISHED, 0);
    else if (step == FLOW_MOVED && side->readable)
        worker_enqueue(worker, relay);
}

/* Between exchanges: what may end the connection then. True: it is over. */
static bool ends_idle(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    if (talk->exchange.request != REQUEST_HEAD)
        return false;
    if (talk->upstream != NULL && !talk->upstream->connecting && !upstream_is_silent(talk->upstream)) {
        const bool is_kept = talk->upstream->exchanges > 0;
        talk_drop_upstream(worker, relay, false);
        /* It was this client's own: the server's end is for the client to know. */
        if (is_kept && !talk_is_busy(talk)) {
            talk_end(worker, relay, TG_FINISHED, 0);
            return true;
        }
    }
    if ((talk->settles || atomic_load_explicit(&worker->engine->draining, memory_order_relaxed)) &&
        !talk_is_busy(talk) && !talk_downstream(relay)->readable) {
        talk_end(worker, relay, TG_FINISHED, 0);
        return true;
    }
    return false;
}

void talk_run(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    bool more = true;
    if (talk->lingers) {
        linger(worker, relay);
        if (relay->talk != NULL)
            talk_schedule(worker, relay);
        return;
    }
    if (talk_downstream(relay)->error != 0) {
        talk->exchange.flags |= TG_FLAG_DC;
        talk_end(worker, relay, TG_DOWNSTREAM_RESET, talk_downstream(relay)->error);
        return;
    }
    if (ends_idle(worker, relay))
        return;
    if (talk->exchange.plan != NULL && talk->exchange.plan->hedge != NULL)
        hedge_step(worker, relay);
    if (talk->exchange.held_until_ms != 0) {
        if (gate_step(worker, relay))
            place_begin(worker, relay);
    } else if (talk->exchange.request != REQUEST_HEAD && !talk->exchange.is_ours &&
               (talk->upstream == NULL || talk->upstream->connecting))
        place_step(worker, relay);
    if (relay->talk == NULL)
        return;
    for (int step = 0; step < STEPS_PER_TURN && more; step++) {
        more = request_move(worker, relay);
        if (relay->talk == NULL)
            return;
        more = answer_move(worker, relay) || more;
        if (relay->talk == NULL)
            return;
        if (talk->lingers)
            break;
    }
    flow_rest(&worker->pool, &talk->flow[DOWNSTREAM]);
    flow_rest(&worker->pool, &talk->flow[UPSTREAM]);
    talk_schedule(worker, relay);
    if (more)
        worker_enqueue(worker, relay);
}

static void head_is_late(struct tg_worker *worker, struct tg_relay *relay)
{
    relay->talk->head_deadline_ms = 0;
    atomic_store_explicit(&relay->active_ms, worker->now_us / 1000, memory_order_relaxed);
    reply(worker, relay, 408, TG_FLAG_SI, "the head of the request did not come in time");
    worker_enqueue(worker, relay);
}

static void time_is_up(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    const enum answer_state answer = talk->exchange.answer;
    if (talk->exchange.request == REQUEST_HEAD && talk->head_deadline_ms != 0) {
        head_is_late(worker, relay);
    } else if (talk->exchange.request == REQUEST_HEAD) {
        talk_end(worker, relay, talk_is_busy(talk) ? TG_IDLE_TIMEOUT : TG_FINISHED, 0);
    } else if (answer == ANSWER_NONE || answer == ANSWER_HEAD) {
        atomic_store_explicit(&relay->active_ms, worker->now_us / 1000, memory_order_relaxed);
        if (talk->exchange.is_told_when && worker->now_us / 1000 >= talk->exchange.deadline_ms)
            reply(worker, relay, 504, TG_FLAG_DT, "no answer before the deadline of the request");
        else
            reply(worker, relay, 504, TG_FLAG_UT, "no answer in time");
        worker_enqueue(worker, relay);
    } else {
        talk->exchange.flags |= TG_FLAG_UT;
        talk_end(worker, relay, TG_IDLE_TIMEOUT, 0);
    }
}

static bool is_overdue(uint64_t deadline_ms, uint64_t now_ms)
{
    return deadline_ms != 0 && now_ms >= deadline_ms;
}

void talk_timer(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    const uint64_t now_ms = worker->now_us / 1000;
    if (now_ms >= relay_lifetime_deadline_ms(relay)) {
        talk_end(worker, relay, TG_LIFETIME, 0);
        return;
    }
    if (!talk->lingers && now_ms >= relay_idle_deadline_ms(relay)) {
        time_is_up(worker, relay);
    } else if (is_overdue(talk->exchange.deadline_ms, now_ms) && talk->exchange.answer != ANSWER_DONE) {
        time_is_up(worker, relay);
    } else if (is_overdue(talk->exchange.try_deadline_ms, now_ms)) {
        if (!hedge_takes_over(worker, relay, TG_REQUEST_TIMED_OUT))
            repeat_timed_out(worker, relay);
        worker_enqueue(worker, relay);
    } else if (is_overdue(talk->exchange.hedge_ms, now_ms)) {
        hedge_begin(worker, relay);
        worker_enqueue(worker, relay);
    } else if (talk->head_deadline_ms != 0 && now_ms >= talk->head_deadline_ms) {
        head_is_late(worker, relay);
    } else {
        if (talk->retry_ms != 0 && now_ms >= talk->retry_ms) {
            /* What waits for an upstream looks at it by itself. */
            if (talk->upstream != NULL || talk->exchange.request == REQUEST_HEAD)
                talk->retry_ms = 0;
        }
        worker_enqueue(worker, relay);
    }
    if (relay->talk != NULL)
        talk_schedule(worker, relay);
}

void talk_settle(struct tg_worker *worker, struct tg_relay *relay)
{
    relay->talk->settles = true;
    worker_enqueue(worker, relay);
}
