#include "route/conditions.h"

#include <stddef.h>

#include "route/given.h"

bool conditions_hold(const struct tg_site *site, tg_range conditions, const struct http_head *head, const char *bytes)
{
    struct givens givens;
    char no_query;
    if (conditions.count == 0)
        return true;
    givens_find(&givens, site, head, bytes, (struct text_part){&no_query, 0}, &no_query);
    for (uint32_t i = conditions.first; i < conditions.first + conditions.count; i++) {
        const tg_piece wanted = site->spec.conditions[i].value;
        const struct given *given = givens_get(&givens, site->name_of[i]);
        if (given == NULL || !given_is(&givens, given, head, bytes, site_text(site, wanted), wanted.length))
            return false;
    }
    return true;
}
