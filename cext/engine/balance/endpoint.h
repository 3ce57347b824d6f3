/* An endpoint's state: what is under way to it, how fast and how well it answers. It belongs to a group id and outlives
 * the clusters that name it, so a reload forgets nothing. */
#ifndef TG_ENDPOINT_H
#define TG_ENDPOINT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "balance/ewma.h"
#include "balance/news.h"
#include "balance/spec.h"
#include "base/list.h"

/* What one worker has seen of it: cache lines of its own. */
struct tg_endpoint_share {
    _Alignas(64) _Atomic uint64_t outstanding;
    _Atomic uint64_t answered; /* heads of answers */
    struct tg_ewma ewma;
};

/* How often each status from 400 to 599 came; made when the first of them comes. */
struct tg_statuses {
    _Atomic uint32_t count[TG_STATUSES];
};

struct tg_endpoint_state {
    struct tg_node node;         /* in the newsroom's mailbox; first member */
    _Atomic uint32_t news;       /* bits of enum tg_news; not 0: it is in the mailbox, which holds a reference */
    _Atomic uint32_t references; /* of clusters and of the mailbox; taken under the endpoints' mutex or from another */
    struct tg_newsroom *room;
    uint64_t group;
    struct tg_endpoint_state *next; /* in its hash chain */
    _Atomic uint32_t requests;      /* under way, of all workers */
    _Atomic uint32_t connections;
    _Atomic uint32_t in_a_row[TG_ROWS];
    _Atomic uint64_t failures[TG_ENDINGS_OF_REQUESTS]; /* by enum tg_request_end */
    _Atomic(struct tg_statuses *) statuses;
    struct tg_endpoint_share share[]; /* [worker] */
};

/* With no reference. NULL: no memory. */
struct tg_endpoint_state *endpoint_new(struct tg_newsroom *room, uint64_t group, unsigned workers);
void endpoint_free(struct tg_endpoint_state *state);
/* Adds what all workers have counted. */
void endpoint_count(const struct tg_endpoint_state *state, unsigned workers, tg_endpoint_counts *out);

/* How many failures in a row are news, by enum tg_row; 0: never. */
struct tg_rows {
    uint32_t threshold[TG_ROWS];
    bool split_local; /* failures without an answer count in TG_ROW_LOCAL alone */
    bool trial;       /* the endpoint is on trial: how each request went is news */
};

/* A request's life on one endpoint, all three from the worker that has it. Every state_began is followed by one
 * state_ended, and in between by one state_answered if a head came. */
void state_began(struct tg_endpoint_state *state, unsigned worker);
void state_answered(struct tg_endpoint_state *state, unsigned worker, const struct tg_rows *rows, int status,
                    uint64_t latency_us, uint64_t now_us);
void state_ended(struct tg_endpoint_state *state, unsigned worker, const struct tg_rows *rows, enum tg_request_end how,
                 uint64_t elapsed_us, uint64_t now_us);

#endif
