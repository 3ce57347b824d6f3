/* What is decided for a destination, made ready for use. */
#ifndef TG_VERDICT_H
#define TG_VERDICT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/epoch.h"
#include "decide/affinity.h"
#include "decide/groups.h"
#include "engine.h"

struct tg_target {
    tg_address address;
    uint64_t ceiling; /* weights up to and including this one */
    struct tg_group *group;
    struct tg_group *http_group;
};

/* Of the log; in the same block of memory as the ruling, behind its targets. */
struct tg_log_texts {
    const char *protocol;
    const char *lane;
    const char *lane_reason;
    const char *service;
};

/* A tg_verdict made ready for use. Immutable but for `turn`; counted references: one of the table's, one for each
 * connection. */
struct tg_ruling {
    struct tg_retired retired;
    _Atomic uint64_t references;
    _Atomic uint64_t turn; /* of round robin */
    tg_verdict asked;      /* its endpoints pointer is not used */
    struct tg_group *group;
    struct tg_group *http_group;
    uint64_t stride;
    struct tg_log_texts texts;
    struct tg_affinity affinity;
    const tg_network *denied; /* in the same block of memory, behind the targets */
    uint32_t denied_count;
    uint32_t target_count;
    struct tg_target targets[];
};

/* With one reference. NULL: no memory. Under the mutex of `groups`. */
struct tg_ruling *ruling_new(struct tg_groups *groups, const tg_verdict *verdict);
void ruling_release(struct tg_ruling *ruling); /* drops one reference */
/* A target by weight; there must be one. `random` is any number. */
uint32_t ruling_pick(struct tg_ruling *ruling, uint64_t random);

#endif
