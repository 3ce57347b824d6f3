#include "decide/choose.h"

#include <math.h>
#include <string.h>

#include "balance/dice.h"
#include "base/counter.h"

/* Up to so many targets the least loaded is looked for; beyond, the less loaded of two random ones is taken. */
enum { SCAN_LIMIT = 64 };

static uint64_t weight_of(const struct tg_ruling *ruling, uint32_t target)
{
    return ruling->targets[target].ceiling + 1 - (target == 0 ? 0 : ruling->targets[target - 1].ceiling + 1);
}

static uint64_t open_now(const struct tg_group *group, unsigned workers)
{
    int64_t count = 0;
    for (unsigned i = 0; i < workers; i++) {
        const struct tg_share *share = atomic_load_explicit(&group->share[i], memory_order_acquire);
        if (share == NULL)
            continue;
        for (int reason = 0; reason <= TG_INTERNAL_ERROR; reason++)
            count -= (int64_t)counter_read(&share->ended[reason]);
        count += (int64_t)counter_read(&share->opened);
    }
    return count < 0 ? 0 : (uint64_t)count;
}

static double burden(const struct tg_ruling *ruling, uint32_t target, unsigned workers)
{
    return (double)(1 + open_now(ruling->targets[target].group, workers)) / (double)weight_of(ruling, target);
}

static uint64_t heaviest_of(const struct tg_ruling *ruling)
{
    uint64_t heaviest = 0;
    for (uint32_t i = 0; i < ruling->target_count; i++)
        if (weight_of(ruling, i) > heaviest)
            heaviest = weight_of(ruling, i);
    return heaviest;
}

/* The one with the fewest open connections for its weight; equal ones by chance. One of less than half the heaviest's
 * weight, as one on trial is, gets its share by chance: by load alone it would get nothing where there is little to do.
 */
static uint32_t least(struct tg_ruling *ruling, const struct tg_chooser *chooser)
{
    uint64_t seed = chooser->random;
    if (ruling->target_count > SCAN_LIMIT) {
        const uint32_t one = ruling_pick(ruling, dice_next(&seed));
        const uint32_t other = ruling_pick(ruling, dice_next(&seed));
        return burden(ruling, other, chooser->workers) < burden(ruling, one, chooser->workers) ? other : one;
    }
    const uint64_t heaviest = heaviest_of(ruling);
    const uint32_t drawn = ruling_pick(ruling, dice_next(&seed));
    if (2 * weight_of(ruling, drawn) < heaviest)
        return drawn;
    uint32_t found = drawn, equals = 0;
    double lowest = INFINITY;
    for (uint32_t i = 0; i < ruling->target_count; i++) {
        if (2 * weight_of(ruling, i) < heaviest)
            continue;
        const double now = burden(ruling, i, chooser->workers);
        if (now < lowest) {
            lowest = now;
            equals = 0;
        }
        if (now == lowest && dice_below(dice_next(&seed), ++equals) == 0)
            found = i;
    }
    return found;
}

/* Rendezvous hashing by weight: a target that comes or goes moves its own clients only. */
static uint32_t by_source(const struct tg_ruling *ruling, const tg_address *client)
{
    uint32_t found = 0;
    double highest = -INFINITY;
    for (uint32_t i = 0; i < ruling->target_count; i++) {
        const tg_address *address = &ruling->targets[i].address;
        uint64_t hash = dice_hash_more(DICE_HASH_BEGIN, client->ip, sizeof client->ip);
        hash = dice_hash_more(hash, address->ip, sizeof address->ip);
        hash = dice_mix(dice_hash_more(hash, &address->port, sizeof address->port));
        const double part = ((double)(hash >> 11) + 0.5) / 9007199254740992.0; /* above 0, below 1 */
        const double now = (double)weight_of(ruling, i) / -log(part);
        if (now > highest) {
            highest = now;
            found = i;
        }
    }
    return found;
}

uint32_t ruling_choose(struct tg_ruling *ruling, const struct tg_chooser *chooser, const tg_address *client)
{
    tg_address known;
    if (ruling->affinity.ms != 0 &&
        affinity_find(chooser->affinities, ruling->affinity.of, client, chooser->now_ms, &known))
        for (uint32_t i = 0; i < ruling->target_count; i++)
            if (address_equal(&ruling->targets[i].address, &known))
                return i;
    switch (ruling->asked.balance) {
    case TG_LEAST:
        return least(ruling, chooser);
    case TG_BY_SOURCE:
        return by_source(ruling, client);
    default:
        return ruling_pick(ruling, chooser->random);
    }
}

void ruling_remember(const struct tg_ruling *ruling, const struct tg_chooser *chooser, const tg_address *client,
                     uint32_t target)
{
    if (ruling->affinity.ms != 0)
        affinity_keep(chooser->affinities, &ruling->affinity, client, &ruling->targets[target].address,
                      chooser->now_ms);
}

static bool is_within(const tg_network *network, const tg_address *client)
{
    const uint32_t whole = network->bits / 8, rest = network->bits % 8;
    if (network->family != client->family || memcmp(network->ip, client->ip, whole) != 0)
        return false;
    return rest == 0 || ((network->ip[whole] ^ client->ip[whole]) & (0xff00 >> rest) & 0xff) == 0;
}

bool ruling_denies(const struct tg_ruling *ruling, const tg_address *client)
{
    for (uint32_t i = 0; i < ruling->denied_count; i++)
        if (is_within(&ruling->denied[i], client))
            return true;
    return false;
}
