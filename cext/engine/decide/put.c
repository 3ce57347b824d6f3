/* What the caller decides, judged and put in force. Under engine->control, and never in a worker's way. */
#include <errno.h>
#include <string.h>

#include "engine.h"
#include "state.h"

static bool is_address(const tg_address *address)
{
    return address->family == 4 || address->family == 6;
}

static bool is_network(const tg_network *network)
{
    return (network->family == 4 && network->bits <= 32) || (network->family == 6 && network->bits <= 128);
}

static bool is_text(const char *text)
{
    return text == NULL || strnlen(text, TG_MAX_TEXT + 1) <= TG_MAX_TEXT;
}

static bool is_sound(const tg_verdict *verdict)
{
    uint64_t total = 0;
    if (!is_text(verdict->log_protocol) || !is_text(verdict->log_lane) || !is_text(verdict->log_reason) ||
        !is_text(verdict->service))
        return false;
    if (verdict->action < TG_RELAY || verdict->action > TG_REFUSE || verdict->balance < TG_RANDOM ||
        verdict->balance > TG_BY_SOURCE || verdict->speaks < TG_OPAQUE || verdict->speaks > TG_HTTP)
        return false;
    for (uint32_t i = 0; i < verdict->denied_count; i++)
        if (!is_network(&verdict->denied[i]))
            return false;
    if (verdict->action != TG_RELAY)
        return verdict->endpoint_count == 0;
    for (uint32_t i = 0; i < verdict->endpoint_count; i++) {
        if (!is_address(&verdict->endpoints[i].address) || verdict->endpoints[i].address.port == 0)
            return false;
        total += verdict->endpoints[i].weight;
    }
    /* The bound keeps the product of round robin within 64 bits. */
    return total > 0 && total <= UINT32_MAX;
}

int tg_engine_set_verdict(tg_engine *engine, uint32_t scope, const tg_address *address, const tg_verdict *verdict)
{
    if ((address->family != 0 && !is_address(address)) || !is_sound(verdict))
        return -EINVAL;
    pthread_mutex_lock(&engine->control);
    int error = -ENOMEM;
    struct tg_ruling *ruling = NULL;
    if (verdict->affinity_ms == 0 || affinities_prepare(&engine->affinities))
        ruling = ruling_new(&engine->groups, verdict);
    if (ruling != NULL) {
        error = table_set(&engine->verdicts, scope, address, ruling);
        if (error < 0)
            ruling_release(ruling);
    }
    epoch_reclaim(&engine->epochs);
    pthread_mutex_unlock(&engine->control);
    return error;
}

int tg_engine_remove_verdict(tg_engine *engine, uint32_t scope, const tg_address *address)
{
    pthread_mutex_lock(&engine->control);
    const int error = table_remove(&engine->verdicts, scope, address);
    epoch_reclaim(&engine->epochs);
    pthread_mutex_unlock(&engine->control);
    return error;
}
