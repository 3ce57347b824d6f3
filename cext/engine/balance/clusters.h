/* The engine's clusters by number. Writers share one mutex (that of the epochs); workers look up inside their turns
 * without a lock. */
#ifndef TG_CLUSTERS_H
#define TG_CLUSTERS_H

#include <stdatomic.h>
#include <stdint.h>

#include "balance/cluster.h"
#include "balance/endpoints.h"
#include "base/epoch.h"

struct tg_cluster_table {
    struct tg_retired retired;
    uint32_t size;
    _Atomic(struct tg_cluster *) at[]; /* [number] */
};

struct tg_clusters {
    _Atomic(struct tg_cluster_table *) table; /* NULL: none yet */
    struct tg_epochs *epochs;
    struct tg_groups *groups;
    struct tg_endpoints endpoints;
};

/* 0, or the errno of an eventfd. */
int clusters_init(struct tg_clusters *clusters, struct tg_epochs *epochs, struct tg_groups *groups, unsigned workers);
void clusters_destroy(struct tg_clusters *clusters); /* after the workers have ended */
int clusters_set(struct tg_clusters *clusters, uint32_t number, const tg_cluster_spec *spec); /* 0 or -ENOMEM */
int clusters_remove(struct tg_clusters *clusters, uint32_t number);                           /* 0 or -ENOENT */
/* Without a reference: good until the worker's turn is over. NULL: there is no such cluster. */
struct tg_cluster *clusters_look(struct tg_clusters *clusters, uint32_t number);
/* Gives a reference, from a worker in its turn. NULL: there is no such cluster. */
struct tg_cluster *clusters_find(struct tg_clusters *clusters, uint32_t number);

#endif
