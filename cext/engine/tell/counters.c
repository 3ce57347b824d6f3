/* The groups' counters, as a walk. */
#include <errno.h>

#include "engine.h"
#include "state.h"

int tg_engine_counters(tg_engine *engine, uint64_t *cursor, tg_counters *out, int max)
{
    int count = 0;
    pthread_mutex_lock(&engine->control);
    while (count < max && *cursor < engine->groups.count)
        if (group_sum(&engine->groups, engine->groups.all[(*cursor)++], &out[count]))
            count++;
    pthread_mutex_unlock(&engine->control);
    return count;
}

int tg_engine_group_counters(tg_engine *engine, uint64_t group, tg_counters *out)
{
    pthread_mutex_lock(&engine->control);
    const struct tg_group *found = group_find(&engine->groups, group);
    if (found != NULL)
        (void)group_sum(&engine->groups, found, out);
    pthread_mutex_unlock(&engine->control);
    return found == NULL ? -ENOENT : 0;
}
