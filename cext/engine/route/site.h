/* The rules of a destination, made ready for use: a copy of what the caller said, and an index that finds the rule of a
 * request without walking all of them. Immutable; counted references, as rulings have them. */
#ifndef TG_ROUTE_SITE_H
#define TG_ROUTE_SITE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/epoch.h"
#include "limits/callers.h"
#include "limits/hedger.h"
#include "route/index.h"
#include "route/spec.h"

struct tg_site {
    struct tg_retired retired;
    _Atomic uint64_t references;
    uint64_t number;
    tg_site_spec spec; /* its pointers are to copies of ours */
    size_t most_added; /* bytes that edits can add to a head */
    bool *needs_regex; /* [rule] */
    uint32_t *name_of; /* [condition] its name's number */
    struct route_names names;
    struct route_index index;
    struct tg_hedger **hedgers; /* [rule] shared by the rules of a route, a reference each; NULL: nothing is hedged */
    struct tg_callers *callers; /* of the policy's rate limit, with a reference; NULL: it has none */
};

/* With one reference. NULL: *error is -EINVAL or -ENOMEM. */
struct tg_site *site_new(uint64_t number, const tg_site_spec *spec, int *error);
void site_take(struct tg_site *site);    /* one reference more */
void site_release(struct tg_site *site); /* drops one */

/* Before the site takes the former one's place: the buckets of a rate limit that has not changed go on. */
void site_inherit(struct tg_site *site, const struct tg_site *before);

/* NULL: nothing is asked of all requests. */
static inline const tg_request_policy *site_policy(const struct tg_site *site)
{
    return site->spec.policy_count == 0 ? NULL : &site->spec.policies[0];
}

/* NULL: requests of the rule are not hedged. */
static inline struct tg_hedger *site_hedger(const struct tg_site *site, int32_t rule)
{
    return site->hedgers == NULL || rule < 0 ? NULL : site->hedgers[rule];
}

static inline const char *site_text(const struct tg_site *site, tg_piece piece)
{
    return site->spec.text + piece.at;
}

#endif
