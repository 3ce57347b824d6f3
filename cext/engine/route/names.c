#include "route/names.h"

#include <stdlib.h>
#include <string.h>

#include "route/hash.h"

static char lower(char character)
{
    return character >= 'A' && character <= 'Z' ? (char)(character + ('a' - 'A')) : character;
}

static uint64_t hash_of(int32_t subject, const char *name, uint32_t length)
{
    uint64_t hash = HASH_BEGIN + (uint64_t)subject;

    for (uint32_t i = 0; i < length; i++) {
        const char one = subject == TG_HEADER ? lower(name[i]) : name[i];
        hash = hash_more(hash, &one, 1);
    }
    return hash_end(hash);
}

static bool is_same(int32_t subject, const char *wanted, const char *name, uint32_t length)
{
    if (subject != TG_HEADER)
        return memcmp(wanted, name, length) == 0;
    for (uint32_t i = 0; i < length; i++)
        if (wanted[i] != lower(name[i]))
            return false;
    return true;
}

uint32_t names_find(const struct route_names *names, const char *text, int32_t subject, const char *name,
                    uint32_t length)
{
    if (!names->has[subject])
        return ROUTE_NONE;
    const uint64_t hash = hash_of(subject, name, length);

    for (uint32_t at = names->chains[hash & names->mask]; at != ROUTE_NONE; at = names->all[at].next) {
        const struct route_name *one = &names->all[at];
        if (one->hash == hash && one->subject == subject && one->text.length == length &&
            is_same(subject, text + one->text.at, name, length))
            return at + 1;
    }
    return ROUTE_NONE;
}

bool names_build(struct route_names *names, const tg_site_spec *spec, uint32_t *name_of)
{
    uint32_t chains = 8;

    if (spec->condition_count == 0)
        return true;
    while (chains < spec->condition_count)
        chains *= 2;
    names->mask = chains - 1;
    names->all = calloc(spec->condition_count, sizeof *names->all);
    names->chains = malloc(chains * sizeof *names->chains);
    if (names->all == NULL || names->chains == NULL)
        return false;
    memset(names->chains, 0xff, chains * sizeof *names->chains);
    for (uint32_t i = 0; i < spec->condition_count; i++) {
        const tg_condition *one = &spec->conditions[i];
        const char *name = spec->text + one->name.at;

        names->has[one->subject] = true;
        name_of[i] = names_find(names, spec->text, one->subject, name, one->name.length);
        if (name_of[i] != ROUTE_NONE)
            continue;
        const uint64_t hash = hash_of(one->subject, name, one->name.length);
        uint32_t *chain = &names->chains[hash & names->mask];

        names->all[names->count] = (struct route_name){hash, one->subject, one->name, *chain};
        *chain = names->count++;
        name_of[i] = names->count;
    }
    return true;
}

void names_destroy(struct route_names *names)
{
    free(names->all);
    free(names->chains);
}
