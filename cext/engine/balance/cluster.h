/* A cluster made ready for use: the endpoints that a request may go to, how one is chosen, and what limits its use. */
#ifndef TG_CLUSTER_H
#define TG_CLUSTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "balance/budget.h"
#include "balance/endpoint.h"
#include "balance/endpoints.h"
#include "balance/spec.h"
#include "base/epoch.h"
#include "decide/groups.h"

/* What is in use of a cluster; it outlives the replacement of the cluster. */
struct tg_usage {
    _Atomic uint32_t references; /* of clusters and of connections */
    _Atomic uint32_t now[TG_LIMITS];
    struct tg_budget *budget;
    _Atomic uint64_t turn; /* of round robin */
};

struct tg_choice {
    tg_address address;
    uint64_t identity;
    uint32_t weight; /* 0: not to be chosen */
    uint64_t end;    /* weights up to and including this one */
    struct tg_endpoint_state *state;
    struct tg_group *counted; /* whose counters its connections move */
    struct tg_rows rows;
};

/* Immutable but for what `usage` and the endpoints' states count. Counted references: one of the table's, one for each
 * holder. */
struct tg_cluster {
    struct tg_retired retired;
    _Atomic uint64_t references;
    tg_cluster_spec asked; /* its pointers are not used */
    struct tg_usage *usage;
    uint64_t total;    /* of the weights */
    uint64_t stride;   /* of round robin */
    uint32_t heaviest; /* weight */
    char *hash_name;
    char *cookie_end; /* NULL: none */
    uint32_t *places; /* of a consistent hash: indices of endpoints */
    uint64_t *points; /* of a ring: where each place begins, ascending */
    struct tg_choice endpoints[];
};

/* With one reference. usage: of the cluster that this one replaces, or NULL. NULL: no memory. Under the mutex of
 * `endpoints` and `groups`; the spec is sound (put.c). */
struct tg_cluster *cluster_new(struct tg_endpoints *endpoints, struct tg_groups *groups, struct tg_usage *usage,
                               const tg_cluster_spec *spec);
void cluster_hold(struct tg_cluster *cluster);
/* Drops one reference. Any thread. */
void cluster_release(struct tg_cluster *cluster);

/* Takes one place under a limit, or says that there is none; what was taken is given back exactly once. */
bool limit_take(struct tg_cluster *cluster, enum tg_limit limit);
void limit_give(struct tg_cluster *cluster, enum tg_limit limit);
/* How much of it is in use. */
uint32_t limit_now(const struct tg_cluster *cluster, enum tg_limit limit);

/* The place of a connection under the limits of the cluster and of its endpoint; it outlives the cluster. Zeroed: none.
 */
struct tg_taken {
    struct tg_usage *usage;
    struct tg_endpoint_state *state;
};

/* False: one of the limits is reached, and nothing is taken. */
bool taken_take(struct tg_cluster *cluster, uint32_t endpoint, struct tg_taken *taken);
/* Gives back what was taken, if anything was. */
void taken_give(struct tg_taken *taken);

/* A request's life on the endpoint that cluster_pick gave: began, answered when the head has come (latency: since the
 * request's head was sent), ended (elapsed: since it began). From the worker that has the request. */
void endpoint_began(struct tg_cluster *cluster, unsigned worker, uint32_t endpoint);
void endpoint_answered(struct tg_cluster *cluster, unsigned worker, uint32_t endpoint, int status, uint64_t latency_us,
                       uint64_t now_us);
void endpoint_ended(struct tg_cluster *cluster, unsigned worker, uint32_t endpoint, enum tg_request_end how,
                    uint64_t elapsed_us, uint64_t now_us);

/* A request has been under way for so long without an answer, which another endpoint gave: it is that slow at least. */
void endpoint_outlived(struct tg_cluster *cluster, unsigned worker, uint32_t endpoint, uint64_t elapsed_us,
                       uint64_t now_us);

/* A request has begun; not for its retries and hedges. */
void cluster_request(struct tg_cluster *cluster, unsigned worker, uint64_t now_us);
/* Whether another attempt may be made: it draws on the budget. allowance: the rule's own, or NULL for the cluster's. */
bool cluster_may_repeat(struct tg_cluster *cluster, unsigned worker, enum tg_budget_kind kind,
                        const struct tg_allowance *allowance, uint64_t now_us);

#endif
