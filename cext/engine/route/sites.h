/* The sites of an engine, by number. Writers share the mutex of the epochs; workers read inside their turns without a
 * lock. */
#ifndef TG_ROUTE_SITES_H
#define TG_ROUTE_SITES_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/epoch.h"
#include "route/site.h"

/* Numbers that follow each other keep it small: they are places in an array. */
struct tg_site_array {
    struct tg_retired retired;
    uint64_t room;
    _Atomic(struct tg_site *) all[]; /* [number] */
};

/* Zeroed is empty. */
struct tg_sites {
    _Atomic(struct tg_site_array *) array;
};

enum { SITES_MOST = 1 << 20 };

/* The site of that number, without a reference: it is there until the turn ends, and route_decide takes a reference of
 * its own. NULL: there is none. */
struct tg_site *sites_find(struct tg_sites *sites, uint64_t number);

/* -EINVAL: the number is out of range; -ENOMEM: the site is still the caller's. */
int sites_set(struct tg_sites *sites, struct tg_epochs *epochs, struct tg_site *site);
int sites_remove(struct tg_sites *sites, struct tg_epochs *epochs, uint64_t number); /* -ENOENT */
void sites_destroy(struct tg_sites *sites);                                          /* after the workers have ended */

#endif
