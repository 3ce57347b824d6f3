/* Names of headers and parameters that conditions ask for; their numbers begin with 1. */
#ifndef TG_ROUTE_NAMES_H
#define TG_ROUTE_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "route/spec.h"

#define ROUTE_NONE UINT32_MAX

struct route_name {
    uint64_t hash;
    int32_t subject;
    tg_piece text;
    uint32_t next; /* in its chain; ROUTE_NONE: the last */
};

struct route_names {
    struct route_name *all; /* [number - 1] */
    uint32_t count;
    uint32_t *chains;
    uint32_t mask;
    bool has[2]; /* [subject] */
};

/* The number of a name; ROUTE_NONE: no condition asks for it. Header names are compared without regard to case. */
uint32_t names_find(const struct route_names *names, const char *text, int32_t subject, const char *name,
                    uint32_t length);

/* Whether all names of the spec's conditions could be numbered. name_of: [condition], filled. false: no memory. */
bool names_build(struct route_names *names, const tg_site_spec *spec, uint32_t *name_of);
void names_destroy(struct route_names *names);

#endif
