#include "mirror/copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "balance/pick.h"
#include "base/counter.h"
#include "http/frame.h"
#include "relay/dial.h"
#include "relay/flow.h"
#include "state.h"

enum { SWEEP_MS = 500 };

struct tg_copy {
    struct tg_copy *older;
    struct tg_copy *newer;
    struct tg_upstream *upstream;
    struct tg_cluster *cluster; /* with a reference */
    uint32_t endpoint;          /* of the cluster, which counts a request under way there */
    bool is_admitted;           /* the cluster counts it under its limit of requests */
    bool is_whole;              /* the head that is read or was read last */
    bool keeps_alive;
    uint64_t began_us;
    struct tg_flow flow; /* of the answer */
    struct frame frame;
    struct http_head head;
    uint32_t seen;     /* bytes of a head that were framed */
    uint64_t received; /* bytes of the answer */
    uint32_t sent;
    uint32_t length;
    char bytes[];
};

void copy_drop(struct tg_worker *worker, uint32_t count)
{
    counter_add(&worker->copies.dropped, count);
}

static void leave_cluster(struct tg_cluster *cluster, bool is_admitted)
{
    if (is_admitted)
        limit_give(cluster, TG_LIMIT_REQUESTS);
    cluster_release(cluster);
}

static void unlink_copy(struct tg_copies *copies, struct tg_copy *copy)
{
    if (copy->older != NULL)
        copy->older->newer = copy->newer;
    else
        copies->oldest = copy->newer;
    if (copy->newer != NULL)
        copy->newer->older = copy->older;
    else
        copies->newest = copy->older;
    copies->count--;
}

/* The copy is over; its upstream goes back to the pool where it stands exactly between two exchanges. */
static void end(struct tg_worker *worker, struct tg_copy *copy, enum tg_request_end how)
{
    struct tg_upstream *upstream = copy->upstream;
    unlink_copy(&worker->copies, copy);
    endpoint_ended(copy->cluster, worker->index, copy->endpoint, how, worker->now_us - copy->began_us, worker->now_us);
    counter_add(how == TG_REQUEST_DONE ? &worker->copies.answered : &worker->copies.failed, 1);
    if (upstream != NULL) {
        upstream->copy = NULL;
        if (how == TG_REQUEST_DONE && copy->keeps_alive && copy->sent == copy->length && !upstream->side.fin &&
            upstream->side.error == 0 && flow_unframed(&copy->flow) == 0)
            idle_put(worker, upstream, copy->cluster->asked.idle_timeout_ms);
        else
            upstream_close(worker, upstream, copy->sent != copy->length);
    }
    flow_drop(&worker->pool, &copy->flow);
    leave_cluster(copy->cluster, copy->is_admitted);
    free(copy);
}

enum framed { FRAMED_MORE, FRAMED_END, FRAMED_BADLY };

/* Frames what is there of the answer, and drops it. */
static enum framed frame_answer(struct tg_worker *worker, struct tg_copy *copy)
{
    struct tg_flow *flow = &copy->flow;
    size_t used;
    for (;;) {
        const size_t there = flow_unframed(flow);
        if (!copy->is_whole && there == copy->seen)
            return FRAMED_MORE;
        switch (frame_pass(&copy->frame, flow_at(flow), copy->is_whole ? 0 : copy->seen, there, &used)) {
        case FRAME_MORE:
            copy->seen = (uint32_t)there;
            return FRAMED_MORE;
        case FRAME_HEAD:
            copy->is_whole = true;
            copy->keeps_alive = copy->head.keep_alive;
            flow_skip(&worker->pool, flow, copy->head.length);
            if (copy->head.status == 101)
                return FRAMED_BADLY;
            if (copy->head.status / 100 != 1)
                endpoint_answered(copy->cluster, worker->index, copy->endpoint, copy->head.status,
                                  worker->now_us - copy->began_us, worker->now_us);
            break;
        case FRAME_BODY:
            flow_skip(&worker->pool, flow, used);
            if (used == 0 || flow_unframed(flow) == 0)
                return FRAMED_MORE;
            break;
        case FRAME_END:
            flow_skip(&worker->pool, flow, used);
            if (copy->head.status / 100 != 1)
                return FRAMED_END;
            copy->is_whole = false;
            copy->seen = 0;
            frame_lend(&copy->frame, &copy->head);
            break;
        default:
            return FRAMED_BADLY;
        }
    }
}

/* False: it can't be written to any more. */
static bool write_request(struct tg_copy *copy)
{
    struct tg_side *side = &copy->upstream->side;
    while (side->writable && copy->sent < copy->length) {
        const ssize_t done = send(side->fd, copy->bytes + copy->sent, copy->length - copy->sent, MSG_NOSIGNAL);
        if (done > 0)
            copy->sent += (uint32_t)done;
        else if (done < 0 && errno == EAGAIN)
            side->writable = false;
        else if (done == 0 || errno != EINTR)
            return false;
    }
    return true;
}

static void read_answer(struct tg_worker *worker, struct tg_copy *copy)
{
    struct tg_side *side = &copy->upstream->side;
    while (side->readable) {
        const size_t before = flow_unframed(&copy->flow);
        const enum flow_step step = flow_read(&worker->pool, &copy->flow, side);
        if (step == FLOW_BLOCKED)
            break;
        if (step == FLOW_END) {
            const bool is_done = copy->is_whole && frame_close(&copy->frame) == FRAME_END;
            copy->keeps_alive = false;
            end(worker, copy, is_done ? TG_REQUEST_DONE : TG_REQUEST_RESET);
            return;
        }
        if (step != FLOW_MOVED) {
            end(worker, copy, TG_REQUEST_RESET);
            return;
        }
        copy->received += flow_unframed(&copy->flow) - before;
        const enum framed framed = frame_answer(worker, copy);
        if (framed == FRAMED_MORE && copy->received > COPY_ANSWER_MAX) {
            copy->keeps_alive = false;
            end(worker, copy, TG_REQUEST_DONE);
            return;
        }
        if (framed != FRAMED_MORE) {
            end(worker, copy, framed == FRAMED_END ? TG_REQUEST_DONE : TG_REQUEST_RESET);
            return;
        }
    }
    flow_rest(&worker->pool, &copy->flow);
}

static void move(struct tg_worker *worker, struct tg_copy *copy)
{
    struct tg_upstream *upstream = copy->upstream;
    if (upstream->connecting) {
        const int result = dial_result(&upstream->side, upstream->answered, upstream->troubled);
        if (result == -EINPROGRESS)
            return;
        if (result < 0) {
            end(worker, copy, TG_REQUEST_NOT_CONNECTED);
            return;
        }
        upstream->connecting = false;
    }
    if (upstream->side.error != 0 || !write_request(copy))
        end(worker, copy, TG_REQUEST_RESET);
    else
        read_answer(worker, copy);
}

/* One that has been closed meanwhile would lose the copy, which is sent once only. */
static struct tg_upstream *take_idle(struct tg_worker *worker, uint32_t scope, const tg_address *address)
{
    struct tg_upstream *upstream;
    while ((upstream = idle_take(worker, scope, address)) != NULL) {
        if (upstream_says_nothing(upstream))
            return upstream;
        upstream_close(worker, upstream, false);
    }
    return NULL;
}

static int connect_to(struct tg_worker *worker, struct tg_copy *copy, const struct tg_copy_order *order)
{
    const struct tg_choice *choice = &copy->cluster->endpoints[copy->endpoint];
    const struct tg_caller caller = {
        .listener = order->listener,
        .client = order->client,
        .keepalive = order->keepalive,
        .hops = order->hops,
        .has_spoken = true,
    };
    copy->upstream = take_idle(worker, order->listener->scope, &choice->address);
    if (copy->upstream == NULL) {
        struct tg_taken taken = {0};
        if (!taken_take(copy->cluster, copy->endpoint, &taken))
            return -EBUSY;
        const int error = upstream_open(worker, &caller, &choice->address, &copy->upstream);
        if (error < 0) {
            taken_give(&taken);
            return error;
        }
        copy->upstream->taken = taken;
    }
    copy->upstream->group = choice->counted;
    copy->upstream->exchanges++;
    copy->upstream->copy = copy;
    return 0;
}

static struct tg_copy *copy_new(const struct tg_copy_order *order, uint64_t now_us)
{
    struct tg_copy *copy = malloc(sizeof *copy + order->length);
    if (copy == NULL)
        return NULL;
    memset(copy, 0, offsetof(struct tg_copy, head));
    copy->seen = copy->sent = 0;
    copy->received = 0;
    copy->began_us = now_us;
    copy->length = order->length;
    memcpy(copy->bytes, order->bytes, order->length);
    frame_answers(&copy->frame);
    frame_expect(&copy->frame, order->to_head, false);
    frame_lend(&copy->frame, &copy->head);
    return copy;
}

static void enlist(struct tg_worker *worker, struct tg_copy *copy)
{
    struct tg_copies *copies = &worker->copies;
    copy->older = copies->newest;
    if (copies->newest != NULL)
        copies->newest->newer = copy;
    else
        copies->oldest = copy;
    copies->newest = copy;
    copies->count++;
    if (copies->timer.link == NULL)
        wheel_arm(&worker->wheel, &copies->timer, worker->now_us / 1000 + SWEEP_MS);
}

void copy_begin(struct tg_worker *worker, const struct tg_copy_order *order)
{
    struct tg_cluster *cluster =
        worker->copies.count < COPIES_MAX ? clusters_find(&worker->engine->clusters, (uint32_t)order->cluster) : NULL;
    if (cluster == NULL) {
        copy_drop(worker, 1);
        return;
    }
    const bool is_admitted = limit_take(cluster, TG_LIMIT_REQUESTS);
    const int32_t endpoint =
        is_admitted ? cluster_pick(cluster, worker->index, NULL, NULL, 0, worker_random(worker), worker->now_us)
                    : PICK_FULL;
    struct tg_copy *copy = endpoint < 0 ? NULL : copy_new(order, worker->now_us);
    if (copy == NULL) {
        leave_cluster(cluster, is_admitted);
        copy_drop(worker, 1);
        return;
    }
    copy->cluster = cluster;
    copy->is_admitted = true;
    copy->endpoint = (uint32_t)endpoint;
    endpoint_began(cluster, worker->index, copy->endpoint);
    enlist(worker, copy);
    const int error = connect_to(worker, copy, order);
    if (error == 0)
        move(worker, copy);
    else if (error == -EBUSY || dial_is_shortage(-error))
        end(worker, copy, TG_REQUEST_CANCELLED); /* which is not the endpoint's fault */
    else
        end(worker, copy, TG_REQUEST_NOT_CONNECTED);
}

void copy_event(struct tg_worker *worker, struct tg_upstream *upstream)
{
    move(worker, upstream->copy);
}

void copies_sweep(struct tg_worker *worker)
{
    struct tg_copy *next;
    for (struct tg_copy *one = worker->copies.oldest; one != NULL; one = next) {
        const uint64_t age_ms = (worker->now_us - one->began_us) / 1000;
        const uint64_t connect_ms = one->cluster->asked.connect_timeout_ms;
        next = one->newer;
        if (one->upstream->connecting && connect_ms != 0 && age_ms >= connect_ms)
            end(worker, one, TG_REQUEST_NOT_CONNECTED);
        else if (age_ms >= COPY_MS)
            end(worker, one, TG_REQUEST_TIMED_OUT);
    }
    if (worker->copies.count > 0)
        wheel_arm(&worker->wheel, &worker->copies.timer, worker->now_us / 1000 + SWEEP_MS);
}

void copies_close(struct tg_worker *worker)
{
    while (worker->copies.oldest != NULL)
        end(worker, worker->copies.oldest, TG_REQUEST_CANCELLED);
    wheel_disarm(&worker->wheel, &worker->copies.timer);
}
