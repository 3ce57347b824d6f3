/* Finding rules: by path, and among those of one path by one condition each, so that the cost depends on the
 * request and not on how many rules there are.
 *
 * A bucket holds the rules of one path: an exact one, a prefix, or all regular expressions together. A rule of a bucket
 * is filed under the rarest of its conditions, its method being one of them; a rule that has none takes every request
 * that gets so far, so only the first such rule of a bucket can matter. */
#ifndef TG_ROUTE_INDEX_H
#define TG_ROUTE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "route/names.h"
#include "route/spec.h"

#define ROUTE_PRESENT UINT32_C(0x80000000) /* with a name's number: that it has come, with whatever value */
enum { ROUTE_METHOD = 0 };                 /* the number of the name under which a method is filed */

struct route_bucket {
    uint64_t hash;
    int32_t kind;
    tg_piece path;
    uint32_t plain;       /* the first rule without conditions */
    uint32_t first_filed; /* the first of the others */
    uint32_t next;
};

/* Rules of a bucket that are filed under the same condition, in order. */
struct route_key {
    uint64_t hash;
    uint32_t bucket;
    uint32_t name;
    tg_piece value;
    uint32_t total; /* rules of the bucket that have the condition, wherever they are filed */
    uint32_t first; /* in `filed` */
    uint32_t count;
    uint32_t next;
};

struct route_index {
    struct route_bucket *buckets;
    uint32_t bucket_count;
    uint32_t *bucket_chains;
    uint32_t bucket_mask;
    struct route_key *keys;
    uint32_t key_count;
    uint32_t *key_chains;
    uint32_t key_mask;
    uint32_t *filed; /* numbers of rules */
    uint32_t longest_prefix;
};

/* false: no memory; index_destroy is to be called all the same. The spec has been checked. */
bool index_build(struct route_index *index, const tg_site_spec *spec, const uint32_t *name_of);
void index_destroy(struct route_index *index);

/* NULL: no rule has that path. hash: of the path, from HASH_BEGIN on. Of TG_REGEX there is one at most. */
const struct route_bucket *index_bucket(const struct route_index *index, const char *text, int32_t kind, uint64_t hash,
                                        const char *path, uint32_t length);

/* A key of the bucket by the hash of the value; the caller compares the value, and asks for the `next` of that key
 * (after: NULL for the first). */
const struct route_key *index_key(const struct route_index *index, uint32_t bucket, uint32_t name, uint64_t value_hash,
                                  const struct route_key *after);

#endif
