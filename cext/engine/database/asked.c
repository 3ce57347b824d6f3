#include "database/asked.h"

#include <string.h>

void follow_forget(struct follow_side *side)
{
    memset(side->head, 0, side->have);
    side->have = 0;
}

size_t follow_collect(struct follow_side *side, size_t wanted, const uint8_t *bytes, size_t length)
{
    const size_t missing = wanted - side->have;
    const size_t taken = missing < length ? missing : length;
    memcpy(side->head + side->have, bytes, taken);
    side->have += (uint32_t)taken;
    return taken;
}

bool follow_ask(struct follow *follow, uint16_t kind, uint8_t mark, uint64_t now_us)
{
    if (follow->count == FOLLOW_PENDING || follow->unnoted > 0) {
        follow->unnoted++;
        return mark == 0;
    }
    follow->asked[(follow->first + follow->count++) % FOLLOW_PENDING] =
        (struct follow_asked){.at_us = now_us, .kind = kind, .mark = mark};
    return true;
}

struct follow_asked *follow_oldest(struct follow *follow)
{
    return follow->count == 0 ? NULL : &follow->asked[follow->first];
}

void follow_drop(struct follow *follow)
{
    follow->first = (follow->first + 1) % FOLLOW_PENDING;
    follow->count--;
}

void follow_answer(struct follow *follow, bool failed, uint64_t now_us, follow_tell tell, void *context)
{
    const struct follow_asked *oldest = follow_oldest(follow);
    if (oldest == NULL) {
        follow->unnoted -= follow->unnoted > 0;
        return;
    }
    const uint64_t us = now_us > oldest->at_us ? now_us - oldest->at_us : 0;
    tell(context, &(struct follow_told){.kind = oldest->kind, .failed = failed || oldest->failed, .us = us});
    follow_drop(follow);
}
