/* What the caller says about sites and about whom to ask, put in force. */
#include <errno.h>

#include "engine.h"
#include "route/site.h"
#include "route/sites.h"
#include "route/spec.h"
#include "state.h"

int tg_engine_set_site(tg_engine *engine, uint64_t number, const tg_site_spec *spec)
{
    int error;
    struct tg_site *site = site_new(number, spec, &error);

    if (site == NULL)
        return error;
    pthread_mutex_lock(&engine->control);
    site_inherit(site, sites_find(&engine->sites, number));
    error = sites_set(&engine->sites, &engine->epochs, site);
    epoch_reclaim(&engine->epochs);
    pthread_mutex_unlock(&engine->control);
    if (error < 0)
        site_release(site);
    return error;
}

int tg_engine_remove_site(tg_engine *engine, uint64_t number)
{
    pthread_mutex_lock(&engine->control);
    const int error = sites_remove(&engine->sites, &engine->epochs, number);
    epoch_reclaim(&engine->epochs);
    pthread_mutex_unlock(&engine->control);
    return error;
}

void tg_engine_set_decider(tg_engine *engine, tg_decider decider, void *data)
{
    engine->door.data = data;
    engine->door.decider = decider;
}
