/* Whether a spec holds together: everything in it points at something that is there, and what will stand in a head may
 * stand there. */
#ifndef TG_ROUTE_CHECK_H
#define TG_ROUTE_CHECK_H

#include <stdbool.h>

#include "route/spec.h"

bool spec_is_sound(const tg_site_spec *spec);

#endif
