#include "route/find.h"

#include <string.h>

#include "route/given.h"
#include "route/hash.h"
#include "route/path.h"

/* One request that is being looked up. */
struct search {
    const struct tg_site *site;
    const struct http_head *head;
    const char *bytes;
    struct text_part query;
    uint32_t best; /* the first rule so far of which all but expressions holds; ROUTE_NONE */
    uint64_t method_hash;
    struct givens givens;
    char query_room[TG_LONGEST_TARGET];
};

static const struct givens *givens_of(struct search *search)
{
    if (!search->givens.found)
        givens_find(&search->givens, search->site, search->head, search->bytes, search->query, search->query_room);
    return &search->givens;
}

static bool is_method(const struct search *search, tg_piece wanted)
{
    const struct span method = search->head->method;

    return wanted.length == method.length &&
           memcmp(site_text(search->site, wanted), search->bytes + method.at, method.length) == 0;
}

/* All but its path and its regular expressions; what an expression is for must have come. */
static bool holds(struct search *search, uint32_t number)
{
    const tg_site_spec *spec = &search->site->spec;
    const tg_site_rule *rule = &spec->rules[number];

    if (rule->method.length > 0 && !is_method(search, rule->method))
        return false;
    for (uint32_t i = rule->conditions.first; i < rule->conditions.first + rule->conditions.count; i++) {
        const tg_condition *wanted = &spec->conditions[i];
        const struct givens *givens = givens_of(search);
        const struct given *given = givens_get(givens, search->site->name_of[i]);

        if (given == NULL)
            return false;
        if (wanted->kind == TG_EXACT && !given_is(givens, given, search->head, search->bytes,
                                                  site_text(search->site, wanted->value), wanted->value.length))
            return false;
    }
    return true;
}

/* Rules that are filed under a value which the request has. Values with the same hash only cost time: `holds` compares
 * them. */
static void try_keys(struct search *search, uint32_t bucket, uint32_t name, uint64_t value_hash)
{
    const struct route_index *index = &search->site->index;

    for (const struct route_key *key = NULL; (key = index_key(index, bucket, name, value_hash, key)) != NULL;) {
        for (uint32_t i = key->first; i < key->first + key->count && index->filed[i] < search->best; i++) {
            if (holds(search, index->filed[i])) {
                search->best = index->filed[i];
                break;
            }
        }
    }
}

static void try_bucket(struct search *search, const struct route_bucket *bucket)
{
    const uint32_t number = (uint32_t)(bucket - search->site->index.buckets);

    if (bucket->plain < search->best)
        search->best = bucket->plain;
    if (bucket->first_filed >= search->best)
        return;
    try_keys(search, number, ROUTE_METHOD, search->method_hash);
    const struct givens *givens = givens_of(search);

    for (uint32_t i = 0; i < givens->count; i++) {
        try_keys(search, number, givens->all[i].name, givens->all[i].hash);
        try_keys(search, number, givens->all[i].name | ROUTE_PRESENT, HASH_BEGIN);
    }
}

static void try_path(struct search *search, int32_t kind, uint64_t hash, const char *path, uint32_t length)
{
    const struct tg_site *site = search->site;
    const struct route_bucket *bucket = index_bucket(&site->index, site->spec.text, kind, hash, path, length);

    if (bucket != NULL)
        try_bucket(search, bucket);
}

/* Prefixes end where a segment ends, and never with a slash. */
static void try_prefixes(struct search *search, struct text_part path)
{
    const uint32_t longest = search->site->index.longest_prefix;
    uint64_t hash = HASH_BEGIN;

    for (uint32_t at = 0; at <= path.length && at <= longest; at++) {
        const bool ends = at == path.length || path.at[at] == '/';

        if (ends && (at == 0 || path.at[at - 1] != '/'))
            try_path(search, TG_PREFIX, hash, path.at, at);
        if (at < path.length)
            hash = hash_more(hash, path.at + at, 1);
    }
}

int64_t find_rule(const struct tg_site *site, const struct http_head *head, const char *bytes)
{
    const struct target_parts parts = target_split(bytes + head->target.at, head->target.length);
    char path_room[TG_LONGEST_TARGET + 1];
    struct search search;

    search.site = site;
    search.head = head;
    search.bytes = bytes;
    search.query = parts.query;
    search.best = ROUTE_NONE;
    search.method_hash = hash_more(HASH_BEGIN, bytes + head->method.at, head->method.length);
    search.givens.found = search.givens.too_many = false;
    const struct text_part path = path_normal(parts.path, path_room);

    try_path(&search, TG_EXACT, hash_more(HASH_BEGIN, path.at, path.length), path.at, path.length);
    try_prefixes(&search, path);
    try_path(&search, TG_REGEX, HASH_BEGIN, "", 0);
    if (search.givens.too_many)
        return FIND_ASK;
    if (search.best == ROUTE_NONE)
        return FIND_NOTHING;
    return site->needs_regex[search.best] ? FIND_ASK : (int64_t)search.best;
}
