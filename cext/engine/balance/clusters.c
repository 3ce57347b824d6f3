#include "balance/clusters.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

int clusters_init(struct tg_clusters *clusters, struct tg_epochs *epochs, struct tg_groups *groups, unsigned workers)
{
    clusters->groups = groups;
    clusters->epochs = epochs;
    clusters->endpoints.workers = workers;
    clusters->endpoints.room.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return clusters->endpoints.room.fd < 0 ? -errno : 0;
}

static void free_table(struct tg_retired *thing)
{
    free(thing);
}

static void release_cluster(struct tg_retired *thing)
{
    cluster_release((struct tg_cluster *)thing);
}

/* A table that has the number; NULL: no memory. */
static struct tg_cluster_table *with_room(struct tg_clusters *clusters, uint32_t number)
{
    struct tg_cluster_table *old = atomic_load(&clusters->table);
    uint32_t size = old == NULL ? 64 : old->size;
    if (old != NULL && number < size)
        return old;
    while (size <= number)
        size *= 2;
    struct tg_cluster_table *table = calloc(1, sizeof *table + size * sizeof table->at[0]);
    if (table == NULL)
        return NULL;
    table->size = size;
    for (uint32_t i = 0; old != NULL && i < old->size; i++)
        atomic_init(&table->at[i], atomic_load(&old->at[i]));
    atomic_store(&clusters->table, table);
    if (old != NULL)
        epoch_retire(clusters->epochs, &old->retired, free_table);
    return table;
}

int clusters_set(struct tg_clusters *clusters, uint32_t number, const tg_cluster_spec *spec)
{
    struct tg_cluster_table *table = with_room(clusters, number);
    if (table == NULL)
        return -ENOMEM;
    struct tg_cluster *before = atomic_load(&table->at[number]);
    struct tg_cluster *cluster =
        cluster_new(&clusters->endpoints, clusters->groups, before == NULL ? NULL : before->usage, spec);
    if (cluster == NULL)
        return -ENOMEM;
    atomic_store(&table->at[number], cluster);
    if (before != NULL)
        epoch_retire(clusters->epochs, &before->retired, release_cluster);
    return 0;
}

int clusters_remove(struct tg_clusters *clusters, uint32_t number)
{
    struct tg_cluster_table *table = atomic_load(&clusters->table);
    struct tg_cluster *before = table != NULL && number < table->size ? atomic_load(&table->at[number]) : NULL;
    if (before == NULL)
        return -ENOENT;
    atomic_store(&table->at[number], NULL);
    epoch_retire(clusters->epochs, &before->retired, release_cluster);
    return 0;
}

struct tg_cluster *clusters_look(struct tg_clusters *clusters, uint32_t number)
{
    struct tg_cluster_table *table = atomic_load(&clusters->table);
    return table != NULL && number < table->size ? atomic_load(&table->at[number]) : NULL;
}

struct tg_cluster *clusters_find(struct tg_clusters *clusters, uint32_t number)
{
    struct tg_cluster *cluster = clusters_look(clusters, number);
    /* The table's own reference is held until this turn is over. */
    if (cluster != NULL)
        cluster_hold(cluster);
    return cluster;
}

void clusters_destroy(struct tg_clusters *clusters)
{
    struct tg_cluster_table *table = atomic_load(&clusters->table);
    for (uint32_t i = 0; table != NULL && i < table->size; i++)
        if (atomic_load(&table->at[i]) != NULL)
            cluster_release(atomic_load(&table->at[i]));
    free(table);
    endpoints_destroy(&clusters->endpoints);
    if (clusters->endpoints.room.fd >= 0)
        close(clusters->endpoints.room.fd);
}
