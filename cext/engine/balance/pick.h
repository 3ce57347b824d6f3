/* Choosing an endpoint for a request. The definitions are in proxy/core/balance, a file a method. */
#ifndef TG_PICK_H
#define TG_PICK_H

#include <stdint.h>

#include "balance/cluster.h"

enum {
    PICK_NONE = -1, /* the cluster has no endpoint that may be used */
    PICK_FULL = -2  /* all that may be used are at their limits */
};

/* How many of the endpoints tried before are taken into account: the last ones. */
enum { PICK_TRIED = 16 };

/* Whether the endpoint may be given one more request. */
bool pick_admits(const struct tg_cluster *cluster, uint32_t index);

/* The index of an endpoint, PICK_NONE or PICK_FULL. hash: what a consistent hash is looked up by; NULL: the request has
 * nothing that is hashed, and an endpoint is chosen at random. tried: endpoints that this request has been sent to; one
 * of them comes only where there is no other. random: any number; equal numbers in equal states give equal answers.
 * Nothing is counted but the turn of round robin. From any worker. */
int32_t cluster_pick(struct tg_cluster *cluster, unsigned worker, const uint64_t *hash, const uint32_t *tried,
                     unsigned tried_count, uint64_t random, uint64_t now_us);

#endif
