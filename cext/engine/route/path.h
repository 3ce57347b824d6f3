/* A request's target, as rules see it: proxy/core/route/target.py says the same. */
#ifndef TG_ROUTE_PATH_H
#define TG_ROUTE_PATH_H

#include <stdbool.h>
#include <stdint.h>

struct text_part {
    const char *at;
    uint32_t length;
};

/* authority: of an absolute form, otherwise NULL. path: as it came, "/" where it is empty. query: with its question
 * mark; NULL: there is none. */
struct target_parts {
    struct text_part authority;
    struct text_part path;
    struct text_part query;
};

struct target_parts target_split(const char *target, uint32_t length);

/* Without dot segments, unreserved escapes decoded, others in capitals. Either the path itself or `room`, which has as
 * many bytes as the path. */
struct text_part path_normal(struct text_part path, char *room);

/* Decodes a part of a query as forms encode it: into `room`, which has as many bytes. */
struct text_part query_decode(struct text_part part, char *room);

#endif
