#include "decide/groups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "base/ends.h"
#include "database/counts.h"

static struct tg_group *group_new(const struct tg_groups *groups, uint64_t id)
{
    struct tg_group *group = calloc(1, sizeof *group + groups->workers * sizeof group->share[0]);
    if (group != NULL)
        group->id = id;
    return group;
}

struct tg_share *group_first_share(struct tg_group *group, unsigned worker)
{
    static _Thread_local struct tg_share counted_by_nobody;
    struct tg_share *share = aligned_alloc(_Alignof(struct tg_share), sizeof *share);
    if (share == NULL)
        return &counted_by_nobody;
    memset(share, 0, sizeof *share);
    atomic_store_explicit(&group->share[worker], share, memory_order_release);
    return share;
}

static struct tg_group **chain_of(const struct tg_groups *groups, uint64_t id)
{
    return &groups->chains[(id * UINT64_C(0x9e3779b97f4a7c15)) >> 32 & (groups->chain_count - 1)];
}

/* Keeps chains short: a verdict looks up a group for each of its endpoints. -ENOMEM: all is as before. */
static int grow_chains(struct tg_groups *groups)
{
    const size_t count = groups->chain_count == 0 ? 256 : 4 * groups->chain_count;
    struct tg_group **chains = calloc(count, sizeof(struct tg_group *));
    if (chains == NULL)
        return -ENOMEM;
    free(groups->chains);
    groups->chains = chains;
    groups->chain_count = count;
    for (size_t i = 0; i < groups->count; i++) {
        struct tg_group **chain = chain_of(groups, groups->all[i]->id);
        groups->all[i]->next = *chain;
        *chain = groups->all[i];
    }
    return 0;
}

struct tg_group *group_find(const struct tg_groups *groups, uint64_t id)
{
    struct tg_group *group = groups->chain_count == 0 ? NULL : *chain_of(groups, id);
    while (group != NULL && group->id != id)
        group = group->next;
    return group;
}

struct tg_group *group_get(struct tg_groups *groups, uint64_t id)
{
    if (groups->count >= groups->chain_count && grow_chains(groups) < 0)
        return NULL;
    struct tg_group *known = group_find(groups, id);
    if (known != NULL)
        return known;
    if (groups->count == groups->room) {
        const size_t room = groups->room == 0 ? 64 : 2 * groups->room;
        struct tg_group **all = realloc(groups->all, room * sizeof(struct tg_group *));
        if (all == NULL)
            return NULL;
        groups->all = all;
        groups->room = room;
    }
    struct tg_group *group = group_new(groups, id);
    if (group == NULL)
        return NULL;
    struct tg_group **chain = chain_of(groups, id);
    group->next = *chain;
    *chain = group;
    groups->all[groups->count++] = group;
    return group;
}

void groups_destroy(struct tg_groups *groups)
{
    for (size_t i = 0; i < groups->count; i++) {
        for (unsigned worker = 0; worker < groups->workers; worker++)
            free(groups->all[i]->share[worker]);
        statements_free(groups->all[i]);
        free(groups->all[i]);
    }
    free(groups->all);
    free(groups->chains);
}

bool group_sum(const struct tg_groups *groups, const struct tg_group *group, tg_counters *out)
{
    *out = (tg_counters){.group = group->id, .admitted = counter_read(&group->admitted)};
    for (unsigned i = 0; i < groups->workers; i++) {
        const struct tg_share *share = atomic_load_explicit(&group->share[i], memory_order_acquire);
        if (share == NULL)
            continue;
        /* Closed before opened: read the other way round, a connection could be closed that was never opened. */
        for (int reason = 0; reason <= TG_INTERNAL_ERROR; reason++)
            out->ended[reason] += counter_read(&share->ended[reason]);
        out->opened += counter_read(&share->opened);
        out->connect_failures += counter_read(&share->connect_failures);
        out->refused += counter_read(&share->refused);
        out->retries += counter_read(&share->retries);
        out->bytes_sent += counter_read(&share->bytes[DOWNSTREAM]);
        out->bytes_received += counter_read(&share->bytes[UPSTREAM]);
    }
    for (int reason = 0; reason <= TG_INTERNAL_ERROR; reason++)
        out->closed += out->ended[reason];
    return (out->opened | out->connect_failures | out->refused | out->admitted) != 0;
}
