#include "route/site.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "route/check.h"

/* Never NULL for want of anything to copy. */
static bool copy(const void **items, size_t count, size_t size)
{
    void *mine = malloc(count * size + 1);

    if (mine != NULL && count > 0)
        memcpy(mine, *items, count * size);
    *items = mine;
    return mine != NULL;
}

#define COPY(spec, items, count) copy((const void **)&(spec)->items, (spec)->count, sizeof *(spec)->items)

/* All are replaced, also where one fails, so that what is freed is ours. */
static bool copy_all(tg_site_spec *spec)
{
    bool done = COPY(spec, text, text_length);

    done &= COPY(spec, rules, rule_count);
    done &= COPY(spec, conditions, condition_count);
    done &= COPY(spec, backends, backend_count);
    done &= COPY(spec, filters, filter_count);
    done &= COPY(spec, edits, edit_count);
    done &= COPY(spec, mirrors, mirror_count);
    done &= COPY(spec, cors, cors_count);
    done &= COPY(spec, pieces, piece_count);
    done &= COPY(spec, policies, policy_count);
    done &= COPY(spec, sessions, session_count);
    return done;
}

static void free_all(tg_site_spec *spec)
{
    free((void *)spec->text);
    free((void *)spec->rules);
    free((void *)spec->conditions);
    free((void *)spec->backends);
    free((void *)spec->filters);
    free((void *)spec->edits);
    free((void *)spec->mirrors);
    free((void *)spec->cors);
    free((void *)spec->pieces);
    free((void *)spec->policies);
    free((void *)spec->sessions);
}

static void site_free(struct tg_site *site)
{
    callers_release(site->callers);
    for (uint32_t i = 0; site->hedgers != NULL && i < site->spec.rule_count; i++)
        hedger_release(site->hedgers[i]);
    free(site->hedgers);
    index_destroy(&site->index);
    names_destroy(&site->names);
    free(site->needs_regex);
    free(site->name_of);
    free_all(&site->spec);
    free(site);
}

static size_t edits_length(const tg_site_spec *spec, tg_range edits)
{
    size_t length = 0;

    for (uint32_t i = edits.first; i < edits.first + edits.count; i++)
        length += spec->edits[i].name.length + spec->edits[i].value.length + strlen(": \r\n");
    return length;
}

static size_t cors_length(const tg_site_spec *spec, const tg_filters *filters)
{
    if (filters->cors < 0)
        return 0;
    const tg_cors *cors = &spec->cors[filters->cors];

    return (size_t)cors->methods.length + cors->headers.length + cors->exposed.length + cors->max_age.length;
}

/* Twice the longest filters' texts, for a rule and its backend; and room for what we write of ourselves. */
static size_t most_added(const tg_site_spec *spec)
{
    size_t most = 0;

    for (uint32_t i = 0; i < spec->filter_count; i++) {
        const tg_filters *one = &spec->filters[i];
        const size_t added = edits_length(spec, one->request_edits) + edits_length(spec, one->answer_edits) +
                             cors_length(spec, one) + one->rewrite.host.length + one->rewrite.path.length +
                             one->redirect.host.length + one->redirect.path.length + one->redirect_scheme.length;
        if (added > most)
            most = added;
    }
    return 2 * most + 2048;
}

static bool needs_regex(const tg_site_spec *spec, const tg_site_rule *rule)
{
    if (rule->path_kind == TG_REGEX)
        return true;
    for (uint32_t i = rule->conditions.first; i < rule->conditions.first + rule->conditions.count; i++)
        if (spec->conditions[i].kind == TG_REGEX)
            return true;
    return false;
}

/* Of the last one of the rules before `end` that belongs to a route of that name; NULL: there is none. */
static struct tg_hedger *hedger_of(const struct tg_site *site, uint32_t end, const char *route, uint32_t length)
{
    for (uint32_t i = end; site->hedgers != NULL && i > 0; i--) {
        const tg_piece name = site->spec.rules[i - 1].route;
        if (name.length == length && memcmp(site_text(site, name), route, length) == 0)
            return site->hedgers[i - 1];
    }
    return NULL;
}

static bool make_hedgers(struct tg_site *site)
{
    site->hedgers = calloc(site->spec.rule_count + 1, sizeof(struct tg_hedger *));
    for (uint32_t i = 0; site->hedgers != NULL && i < site->spec.rule_count; i++) {
        const tg_piece route = site->spec.rules[i].route;
        site->hedgers[i] = hedger_of(site, i, site_text(site, route), route.length);
        if (site->hedgers[i] != NULL)
            hedger_take(site->hedgers[i]);
        else if ((site->hedgers[i] = hedger_new()) == NULL)
            return false;
    }
    return site->hedgers != NULL;
}

/* Routes that stay keep what is known of their times. */
static void inherit_hedgers(struct tg_site *site, const struct tg_site *before)
{
    for (uint32_t i = 0; site->hedgers != NULL && before->hedgers != NULL && i < site->spec.rule_count; i++) {
        const tg_piece route = site->spec.rules[i].route;
        struct tg_hedger *known = hedger_of(before, before->spec.rule_count, site_text(site, route), route.length);
        if (known == NULL)
            continue;
        hedger_take(known);
        hedger_release(site->hedgers[i]);
        site->hedgers[i] = known;
    }
}

struct tg_site *site_new(uint64_t number, const tg_site_spec *spec, int *error)
{
    *error = -EINVAL;
    if (number == 0 || !spec_is_sound(spec))
        return NULL;
    *error = -ENOMEM;
    struct tg_site *site = calloc(1, sizeof *site);
    if (site == NULL)
        return NULL;
    atomic_init(&site->references, 1);
    site->number = number;
    site->spec = *spec;
    site->needs_regex = calloc(spec->rule_count + 1, sizeof *site->needs_regex);
    site->name_of = calloc(spec->condition_count + 1, sizeof *site->name_of);
    if (!copy_all(&site->spec) || site->needs_regex == NULL || site->name_of == NULL ||
        !names_build(&site->names, &site->spec, site->name_of) ||
        !index_build(&site->index, &site->spec, site->name_of)) {
        site_free(site);
        return NULL;
    }
    for (uint32_t i = 0; i < spec->rule_count; i++)
        site->needs_regex[i] = needs_regex(&site->spec, &site->spec.rules[i]);
    site->most_added = most_added(&site->spec);
    if (site_policy(site) != NULL && site_policy(site)->rate_per_s > 0) {
        site->callers = callers_new(site_policy(site)->rate_header.length > 0);
        if (site->callers == NULL) {
            site_free(site);
            return NULL;
        }
    }
    if (site_policy(site) != NULL && site_policy(site)->hedge_quantile > 0 && !make_hedgers(site)) {
        site_free(site);
        return NULL;
    }
    return site;
}

void site_inherit(struct tg_site *site, const struct tg_site *before)
{
    const tg_request_policy *now = site_policy(site);
    const tg_request_policy *then = before == NULL ? NULL : site_policy(before);

    if (before != NULL)
        inherit_hedgers(site, before);
    if (now == NULL || then == NULL || site->callers == NULL || before->callers == NULL)
        return;
    if (now->rate_per_s != then->rate_per_s || now->rate_burst != then->rate_burst ||
        now->rate_header.length != then->rate_header.length ||
        memcmp(site_text(site, now->rate_header), site_text(before, then->rate_header), now->rate_header.length) != 0)
        return;
    callers_release(site->callers);
    site->callers = before->callers;
    callers_take(site->callers);
}

void site_take(struct tg_site *site)
{
    atomic_fetch_add_explicit(&site->references, 1, memory_order_relaxed);
}

void site_release(struct tg_site *site)
{
    if (atomic_fetch_sub_explicit(&site->references, 1, memory_order_acq_rel) == 1)
        site_free(site);
}
