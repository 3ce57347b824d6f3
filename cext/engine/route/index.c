#include "route/index.h"

#include <stdlib.h>
#include <string.h>

#include "route/hash.h"

static uint32_t *chains_new(uint32_t things, uint32_t *mask)
{
    uint32_t chains = 8;

    while (chains < things)
        chains *= 2;
    *mask = chains - 1;
    uint32_t *found = malloc(chains * sizeof *found);
    if (found != NULL)
        memset(found, 0xff, chains * sizeof *found);
    return found;
}

static uint64_t bucket_hash(int32_t kind, uint64_t hash)
{
    return hash_end(hash_number(hash, (uint64_t)kind));
}

static uint64_t key_hash(uint32_t bucket, uint32_t name, uint64_t value_hash)
{
    return hash_end(hash_number(hash_number(value_hash, bucket), name));
}

const struct route_bucket *index_bucket(const struct route_index *index, const char *text, int32_t kind, uint64_t hash,
                                        const char *path, uint32_t length)
{
    hash = bucket_hash(kind, hash);
    for (uint32_t at = index->bucket_chains[hash & index->bucket_mask]; at != ROUTE_NONE;
         at = index->buckets[at].next) {
        const struct route_bucket *one = &index->buckets[at];
        if (one->hash == hash && one->kind == kind && one->path.length == length &&
            (length == 0 || memcmp(text + one->path.at, path, length) == 0))
            return one;
    }
    return NULL;
}

const struct route_key *index_key(const struct route_index *index, uint32_t bucket, uint32_t name, uint64_t value_hash,
                                  const struct route_key *after)
{
    const uint64_t hash = key_hash(bucket, name, value_hash);
    uint32_t at = after != NULL ? after->next : index->key_chains[hash & index->key_mask];

    for (; at != ROUTE_NONE; at = index->keys[at].next) {
        const struct route_key *one = &index->keys[at];
        if (one->hash == hash && one->bucket == bucket && one->name == name)
            return one;
    }
    return NULL;
}

static uint32_t bucket_of(struct route_index *index, const tg_site_spec *spec, const tg_site_rule *rule)
{
    /* All expressions share one bucket: which of them matches is not known here. */
    const tg_piece path = rule->path_kind == TG_REGEX ? (tg_piece){0, 0} : rule->path;
    const uint64_t hash = hash_more(HASH_BEGIN, spec->text + path.at, path.length);
    const struct route_bucket *found =
        index_bucket(index, spec->text, rule->path_kind, hash, spec->text + path.at, path.length);

    if (found != NULL)
        return (uint32_t)(found - index->buckets);
    const uint64_t mixed = bucket_hash(rule->path_kind, hash);
    uint32_t *chain = &index->bucket_chains[mixed & index->bucket_mask];

    index->buckets[index->bucket_count] =
        (struct route_bucket){mixed, rule->path_kind, path, ROUTE_NONE, ROUTE_NONE, *chain};
    *chain = index->bucket_count;
    if (rule->path_kind == TG_PREFIX && path.length > index->longest_prefix)
        index->longest_prefix = path.length;
    return index->bucket_count++;
}

static struct route_key *key_of(struct route_index *index, const tg_site_spec *spec, uint32_t bucket, uint32_t name,
                                tg_piece value)
{
    const uint64_t value_hash = hash_more(HASH_BEGIN, spec->text + value.at, value.length);

    for (const struct route_key *one = NULL; (one = index_key(index, bucket, name, value_hash, one)) != NULL;)
        if (one->value.length == value.length &&
            memcmp(spec->text + one->value.at, spec->text + value.at, value.length) == 0)
            return &index->keys[one - index->keys];
    const uint64_t hash = key_hash(bucket, name, value_hash);
    uint32_t *chain = &index->key_chains[hash & index->key_mask];

    index->keys[index->key_count] = (struct route_key){hash, bucket, name, value, 0, 0, 0, *chain};
    *chain = index->key_count;
    return &index->keys[index->key_count++];
}

/* What a condition is filed under. Of an expression only that its header has come can be known. */
static struct route_key *key_of_condition(struct route_index *index, const tg_site_spec *spec, uint32_t bucket,
                                          uint32_t name, const tg_condition *one)
{
    return one->kind == TG_EXACT ? key_of(index, spec, bucket, name, one->value)
                                 : key_of(index, spec, bucket, name | ROUTE_PRESENT, (tg_piece){0, 0});
}

/* Counts the rule under each of its conditions. bucket: of the rule. */
static void count_rule(struct route_index *index, const tg_site_spec *spec, const uint32_t *name_of,
                       const tg_site_rule *rule, uint32_t bucket)
{
    if (rule->method.length > 0)
        key_of(index, spec, bucket, ROUTE_METHOD, rule->method)->total++;
    for (uint32_t i = rule->conditions.first; i < rule->conditions.first + rule->conditions.count; i++)
        key_of_condition(index, spec, bucket, name_of[i], &spec->conditions[i])->total++;
}

/* The rarest key of a rule. NULL: it has no condition. */
static struct route_key *rarest(struct route_index *index, const tg_site_spec *spec, const uint32_t *name_of,
                                const tg_site_rule *rule, uint32_t bucket)
{
    struct route_key *best = NULL;

    if (rule->method.length > 0)
        best = key_of(index, spec, bucket, ROUTE_METHOD, rule->method);
    for (uint32_t i = rule->conditions.first; i < rule->conditions.first + rule->conditions.count; i++) {
        struct route_key *one = key_of_condition(index, spec, bucket, name_of[i], &spec->conditions[i]);
        if (best == NULL || one->total < best->total)
            best = one;
    }
    return best;
}

static void file_rules(struct route_index *index, const tg_site_spec *spec, const uint32_t *bucket_of_rule,
                       uint32_t *key_of_rule, const uint32_t *name_of)
{
    for (uint32_t i = 0; i < spec->rule_count; i++) {
        struct route_bucket *bucket = &index->buckets[bucket_of_rule[i]];
        struct route_key *key = rarest(index, spec, name_of, &spec->rules[i], bucket_of_rule[i]);

        key_of_rule[i] = key == NULL ? ROUTE_NONE : (uint32_t)(key - index->keys);
        uint32_t *first = key == NULL ? &bucket->plain : &bucket->first_filed;
        if (*first == ROUTE_NONE)
            *first = i;
        if (key != NULL)
            key->count++;
    }
    for (uint32_t i = 0, at = 0; i < index->key_count; i++) {
        index->keys[i].first = at;
        at += index->keys[i].count;
        index->keys[i].count = 0;
    }
    for (uint32_t i = 0; i < spec->rule_count; i++) {
        if (key_of_rule[i] == ROUTE_NONE)
            continue;
        struct route_key *key = &index->keys[key_of_rule[i]];
        index->filed[key->first + key->count++] = i;
    }
}

static uint32_t count_keys(const tg_site_spec *spec)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < spec->rule_count; i++)
        count += spec->rules[i].conditions.count + (spec->rules[i].method.length > 0);
    return count > 64 * (uint64_t)TG_MAX_RULES ? ROUTE_NONE : (uint32_t)count;
}

bool index_build(struct route_index *index, const tg_site_spec *spec, const uint32_t *name_of)
{
    const uint32_t keys = count_keys(spec);
    bool done = false;

    if (keys == ROUTE_NONE)
        return false;
    uint32_t *bucket_of_rule = malloc((spec->rule_count + 1) * sizeof *bucket_of_rule);
    uint32_t *key_of_rule = malloc((spec->rule_count + 1) * sizeof *key_of_rule);
    index->buckets = calloc(spec->rule_count + 1, sizeof *index->buckets);
    index->bucket_chains = chains_new(spec->rule_count, &index->bucket_mask);
    index->keys = calloc(keys + 1, sizeof *index->keys);
    index->key_chains = chains_new(keys, &index->key_mask);
    index->filed = calloc(spec->rule_count + 1, sizeof *index->filed);
    if (bucket_of_rule == NULL || key_of_rule == NULL || index->buckets == NULL || index->bucket_chains == NULL ||
        index->keys == NULL || index->key_chains == NULL || index->filed == NULL)
        goto end;
    for (uint32_t i = 0; i < spec->rule_count; i++) {
        bucket_of_rule[i] = bucket_of(index, spec, &spec->rules[i]);
        count_rule(index, spec, name_of, &spec->rules[i], bucket_of_rule[i]);
    }
    file_rules(index, spec, bucket_of_rule, key_of_rule, name_of);
    done = true;
end:
    free(bucket_of_rule);
    free(key_of_rule);
    return done;
}

void index_destroy(struct route_index *index)
{
    free(index->buckets);
    free(index->bucket_chains);
    free(index->keys);
    free(index->key_chains);
    free(index->filed);
}
