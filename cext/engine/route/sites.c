#include "route/sites.h"

#include <errno.h>
#include <stdlib.h>

static void free_retired(struct tg_retired *thing)
{
    free(thing);
}

static void release_site(struct tg_retired *thing)
{
    site_release((struct tg_site *)thing);
}

struct tg_site *sites_find(struct tg_sites *sites, uint64_t number)
{
    struct tg_site_array *array = atomic_load(&sites->array);

    return array == NULL || number >= array->room ? NULL : atomic_load(&array->all[number]);
}

/* Readers may be in the old array: it is copied, not moved. */
static int grow(struct tg_sites *sites, struct tg_epochs *epochs, uint64_t number)
{
    struct tg_site_array *old = atomic_load(&sites->array);
    uint64_t room = old == NULL ? 64 : old->room;

    while (room <= number)
        room *= 2;
    if (old != NULL && room == old->room)
        return 0;
    struct tg_site_array *array = calloc(1, sizeof *array + room * sizeof array->all[0]);
    if (array == NULL)
        return -ENOMEM;
    array->room = room;
    for (uint64_t i = 0; old != NULL && i < old->room; i++)
        atomic_init(&array->all[i], atomic_load(&old->all[i]));
    atomic_store(&sites->array, array);
    if (old != NULL)
        epoch_retire(epochs, &old->retired, free_retired);
    return 0;
}

int sites_set(struct tg_sites *sites, struct tg_epochs *epochs, struct tg_site *site)
{
    if (site->number >= SITES_MOST)
        return -EINVAL;
    const int error = grow(sites, epochs, site->number);
    if (error < 0)
        return error;
    struct tg_site *before = atomic_exchange(&atomic_load(&sites->array)->all[site->number], site);
    if (before != NULL)
        epoch_retire(epochs, &before->retired, release_site);
    return 0;
}

int sites_remove(struct tg_sites *sites, struct tg_epochs *epochs, uint64_t number)
{
    struct tg_site *before = sites_find(sites, number);

    if (before == NULL)
        return -ENOENT;
    atomic_store(&atomic_load(&sites->array)->all[number], NULL);
    epoch_retire(epochs, &before->retired, release_site);
    return 0;
}

void sites_destroy(struct tg_sites *sites)
{
    struct tg_site_array *array = atomic_load(&sites->array);

    for (uint64_t i = 0; array != NULL && i < array->room; i++) {
        struct tg_site *site = atomic_load(&array->all[i]);
        if (site != NULL)
            site_release(site);
    }
    free(array);
}
