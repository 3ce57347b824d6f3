/* What a consistent hash looks a request up by. The definition is proxy/core/balance/key.py. */
#ifndef TG_KEY_H
#define TG_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "balance/cluster.h"
#include "http/head.h"

/* False: the request has nothing that the cluster hashes, or the cluster hashes nothing. `bytes` are those of the
 * head. */
bool key_hash(const struct tg_cluster *cluster, const struct http_head *head, const char *bytes, const tg_address *peer,
              uint64_t *hash);

#endif
