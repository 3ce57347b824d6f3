#include "balance/excluded.h"

#include "balance/dice.h"

bool excluded_has(const struct excluded *excluded, uint32_t index)
{
    for (uint32_t i = 0; i < excluded->count; i++)
        if (excluded->index[i] == index)
            return true;
    return false;
}

bool excluded_add(struct excluded *excluded, const struct tg_cluster *cluster, uint32_t index)
{
    const uint32_t weight = cluster->endpoints[index].weight;
    if (weight == 0 || excluded->count == EXCLUDED_MAX || excluded_has(excluded, index))
        return false;
    uint32_t place = excluded->count++;
    for (; place > 0 && excluded->index[place - 1] > index; place--)
        excluded->index[place] = excluded->index[place - 1];
    excluded->index[place] = index;
    excluded->weight += weight;
    return true;
}

uint32_t cluster_ticket(const struct tg_cluster *cluster, uint64_t ticket)
{
    uint32_t low = 0;
    uint32_t high = cluster->asked.endpoint_count - 1;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (ticket < cluster->endpoints[middle].end)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

int32_t excluded_draw(const struct excluded *excluded, const struct tg_cluster *cluster, uint64_t number)
{
    const uint64_t left = cluster->total - excluded->weight;
    if (left == 0)
        return -1;
    uint64_t ticket = dice_below(number, left);
    for (uint32_t i = 0; i < excluded->count; i++) {
        const struct tg_choice *choice = &cluster->endpoints[excluded->index[i]];
        if (ticket >= choice->end - choice->weight)
            ticket += choice->weight;
    }
    return (int32_t)cluster_ticket(cluster, ticket);
}
