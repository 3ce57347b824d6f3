#include "exchange/tunnel.h"

#include "exchange/ending.h"
#include "ready.h"
#include "relay/ending.h"
#include "relay/schedule.h"
#include "tell/talk.h"

/* All bytes of a flow, framed or not, become what a direction of the relay owes. */
static bool hand_over(struct tg_worker *worker, struct tg_flow *flow, struct tg_direction *direction)
{
    if (flow->piped > 0 || (flow->first != NULL && flow->buffer != NULL))
        return false;
    direction->buffer = flow->first != NULL ? flow->first : flow->buffer;
    flow->first = flow->buffer = NULL;
    flow_drop(&worker->pool, flow);
    return true;
}

void tunnel_begin(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    struct tg_upstream *upstream = talk->upstream;
    if (!hand_over(worker, &talk->flow[DOWNSTREAM], &relay->direction[DOWNSTREAM]) ||
        !hand_over(worker, &talk->flow[UPSTREAM], &relay->direction[UPSTREAM])) {
        talk_end(worker, relay, TG_INTERNAL_ERROR, 0);
        return;
    }
    if (talk->has_ended) {
        relay->direction[DOWNSTREAM].ended = true;
    }
    talk_tell(worker, relay, TG_FINISHED); /* what follows is bytes of the connection */
    talk->upstream = NULL;
    talk_free(worker, relay);
    const int error = upstream_surrender(worker, upstream, relay);
    if (error < 0) {
        relay_end(worker, relay, TG_INTERNAL_ERROR, -error);
        return;
    }
    relay->side[DOWNSTREAM].readable = relay->side[DOWNSTREAM].writable = true;
    relay_schedule(worker, relay);
    worker_enqueue(worker, relay);
}
