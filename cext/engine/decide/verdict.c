#include "decide/verdict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/stride.h"

static size_t text_size(const char *text)
{
    return (text == NULL ? 0 : strlen(text)) + 1;
}

static const char *keep_text(char **at, const char *text)
{
    const char *kept = *at;
    *at = stpcpy(*at, text == NULL ? "" : text) + 1;
    return kept;
}

struct tg_ruling *ruling_new(struct tg_groups *groups, const tg_verdict *verdict)
{
    const uint32_t count = verdict->action == TG_RELAY ? verdict->endpoint_count : 0;
    const size_t texts = text_size(verdict->log_protocol) + text_size(verdict->log_lane) +
                         text_size(verdict->log_reason) + text_size(verdict->service);
    const size_t denied = verdict->denied_count * sizeof *verdict->denied;
    struct tg_ruling *ruling = calloc(1, sizeof *ruling + count * sizeof ruling->targets[0] + denied + texts);
    uint64_t total = 0;
    if (ruling == NULL)
        return NULL;
    ruling->group = group_get(groups, verdict->group);
    ruling->http_group = verdict->http_group == 0 ? ruling->group : group_get(groups, verdict->http_group);
    if (ruling->group == NULL || ruling->http_group == NULL)
        goto fail;
    for (uint32_t i = 0; i < count; i++) {
        const tg_endpoint *endpoint = &verdict->endpoints[i];
        if (endpoint->weight == 0)
            continue;
        struct tg_target *target = &ruling->targets[ruling->target_count++];
        total += endpoint->weight;
        *target = (struct tg_target){.address = endpoint->address, .ceiling = total - 1};
        target->group = group_get(groups, endpoint->group);
        target->http_group = endpoint->http_group == 0 ? target->group : group_get(groups, endpoint->http_group);
        if (target->group == NULL || target->http_group == NULL)
            goto fail;
    }
    ruling->asked = *verdict;
    ruling->asked.endpoints = NULL;
    ruling->asked.denied = NULL;
    ruling->affinity = (struct tg_affinity){verdict->affinity, verdict->affinity_ms};
    char *at = (char *)&ruling->targets[count];
    if (denied > 0)
        memcpy(at, verdict->denied, denied);
    ruling->denied = (const tg_network *)at;
    ruling->denied_count = verdict->denied_count;
    at += denied;
    ruling->texts.protocol = keep_text(&at, verdict->log_protocol);
    ruling->texts.lane = keep_text(&at, verdict->log_lane);
    ruling->texts.lane_reason = keep_text(&at, verdict->log_reason);
    ruling->texts.service = keep_text(&at, verdict->service);
    ruling->asked.log_protocol = ruling->asked.log_lane = ruling->asked.log_reason = ruling->asked.service = NULL;
    ruling->stride = total == 0 ? 0 : stride_of(total);
    atomic_init(&ruling->references, 1);
    return ruling;
fail:
    free(ruling);
    return NULL;
}

void ruling_release(struct tg_ruling *ruling)
{
    if (atomic_fetch_sub_explicit(&ruling->references, 1, memory_order_acq_rel) == 1)
        free(ruling);
}

uint32_t ruling_pick(struct tg_ruling *ruling, uint64_t random)
{
    const uint64_t total = ruling->targets[ruling->target_count - 1].ceiling + 1;
    uint32_t low = 0;
    uint32_t high = ruling->target_count - 1;
    uint64_t ticket;

    if (ruling->asked.balance == TG_ROUND_ROBIN)
        ticket = (atomic_fetch_add_explicit(&ruling->turn, 1, memory_order_relaxed) % total) * ruling->stride % total;
    else
        ticket = random % total;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (ticket <= ruling->targets[middle].ceiling)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}
