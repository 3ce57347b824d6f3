/* What of a request's head the rules of its site ask for. */
#ifndef TG_ROUTE_GIVEN_H
#define TG_ROUTE_GIVEN_H

#include <stdbool.h>
#include <stdint.h>

#include "http/head.h"
#include "route/path.h"
#include "route/site.h"

/* A header or a parameter that some condition names. A header that came more than once is the list of its values, with
 * ", " between them (RFC 9110, 5.3). */
struct given {
    uint32_t name;
    uint64_t hash; /* of the value, from HASH_BEGIN on */
    struct text_part value;
    int16_t header; /* the first one's place in the head; -1: a parameter, whose value is `value` */
    int16_t last;
};

enum { GIVEN_MOST = 2 * HTTP_MAX_HEADERS };

struct givens {
    uint32_t count;
    bool found;                     /* what follows has been worked out */
    bool too_many;                  /* there is more than there is room for, so the table can't say */
    int16_t next[HTTP_MAX_HEADERS]; /* [header] the next one of the name; -1: none */
    struct given all[GIVEN_MOST];
};

/* query: with its question mark. room: as many bytes as the query has. */
void givens_find(struct givens *givens, const struct tg_site *site, const struct http_head *head, const char *bytes,
                 struct text_part query, char *room);

/* NULL: it did not come. */
const struct given *givens_get(const struct givens *givens, uint32_t name);

bool given_is(const struct givens *givens, const struct given *one, const struct http_head *head, const char *bytes,
              const char *value, uint32_t length);

/* Whether the head meets all of these conditions, which are TG_HEADER and TG_EXACT. */
bool given_meets(const struct tg_site *site, tg_range conditions, const struct http_head *head, const char *bytes);

#endif
