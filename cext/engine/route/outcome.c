#include "route/outcome.h"

#include <stdlib.h>
#include <string.h>

#include "route/find.h"
#include "route/hash.h"
#include "route/heads/cors.h"
#include "route/route.h"

enum { BACKEND_DRAW = 0 }; /* which draw of the random number: 0 is the backend's, mirrors follow */

/* proxy/core/decide/request.py decides alike; tests hold both to it. */
static uint64_t draw(uint64_t random, uint64_t which)
{
    return hash_end(random + which * UINT64_C(0x9e3779b97f4a7c15));
}

static enum route_kind answer(struct route_outcome *outcome, uint16_t status, enum route_why why)
{
    outcome->kind = ROUTE_ANSWER;
    outcome->status = status;
    outcome->why = why;
    return ROUTE_ANSWER;
}

void outcome_begin(struct route_outcome *outcome, struct tg_site *site, uint64_t random)
{
    memset(outcome, 0, offsetof(struct route_outcome, origin));
    outcome->written = NULL;
    outcome->written_length = 0;
    outcome->door = NULL;
    outcome->context = 0;
    outcome->rule = outcome->backend = -1;
    outcome->random = random;
    outcome->site = site;
    if (site != NULL)
        site_take(site);
}

static bool edits_requests(const tg_filters *filters)
{
    return filters->request_edits.count > 0 || filters->rewrite.bits != 0;
}

static void add_mirrors(struct route_outcome *outcome, const tg_filters *filters, uint64_t *drawn)
{
    const tg_site_spec *spec = &outcome->site->spec;

    for (uint32_t i = 0; i < filters->mirrors.count; i++) {
        const tg_mirror *one = &spec->mirrors[filters->mirrors.first + i];
        const bool chosen = draw(outcome->random, ++*drawn) % one->denominator < one->numerator;

        if (chosen && outcome->mirror_count < TG_MAX_MIRRORS)
            outcome->mirrors[outcome->mirror_count++] = one->cluster;
    }
}

/* The backend that the ticket falls to; -1: all weights are 0. */
static int32_t choose(const tg_site_spec *spec, const tg_site_rule *rule, uint64_t ticket)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < rule->backends.count; i++)
        total += spec->backends[rule->backends.first + i].weight;
    if (total == 0)
        return -1;
    ticket %= total;
    for (uint32_t i = 0; i < rule->backends.count; i++) {
        const uint32_t weight = spec->backends[rule->backends.first + i].weight;
        if (ticket < weight)
            return (int32_t)i;
        ticket -= weight;
    }
    return -1;
}

static enum route_kind forward(struct route_outcome *outcome, int32_t number)
{
    const tg_site_spec *spec = &outcome->site->spec;
    const tg_site_rule *rule = &spec->rules[outcome->rule];
    const tg_filters *filters = &spec->filters[rule->filters];
    uint64_t drawn = BACKEND_DRAW;

    if (number < 0)
        number = choose(spec, rule, draw(outcome->random, BACKEND_DRAW));
    if (number < 0)
        return answer(outcome, 500, ROUTE_NO_BACKEND);
    const tg_backend *backend = &spec->backends[rule->backends.first + (uint32_t)number];
    const tg_filters *own = &spec->filters[backend->filters];

    outcome->backend = number;
    if (!backend->resolved)
        return answer(outcome, 500, ROUTE_UNRESOLVED);
    if (own->unobeyed)
        return answer(outcome, 500, ROUTE_UNOBEYED);
    outcome->kind = ROUTE_FORWARD;
    outcome->cluster = backend->cluster;
    outcome->edits_request = edits_requests(filters) || edits_requests(own);
    outcome->edits_answer = filters->answer_edits.count > 0 || own->answer_edits.count > 0 || outcome->cors_allows;
    add_mirrors(outcome, filters, &drawn);
    add_mirrors(outcome, own, &drawn);
    return ROUTE_FORWARD;
}

enum route_kind outcome_forward_to(struct route_outcome *outcome, int32_t backend)
{
    outcome->mirror_count = 0;
    return forward(outcome, backend);
}

enum route_kind outcome_by_rule(struct route_outcome *outcome, const struct http_head *head, const char *bytes,
                                int64_t rule, int32_t backend)
{
    if (rule < 0)
        return answer(outcome, 404, ROUTE_NO_RULE);
    const tg_site_spec *spec = &outcome->site->spec;
    const tg_filters *filters = &spec->filters[spec->rules[rule].filters];

    outcome->rule = (int32_t)rule;
    if (filters->unobeyed)
        return answer(outcome, 500, ROUTE_UNOBEYED);
    if (filters->cors >= 0) {
        cors_judge(outcome, &spec->cors[filters->cors], head, bytes);
        if (cors_is_preflight(head, bytes))
            return answer(outcome, 204, ROUTE_PREFLIGHT);
    }
    if (filters->redirect_status != 0)
        return answer(outcome, (uint16_t)filters->redirect_status, ROUTE_REDIRECTED);
    return forward(outcome, backend);
}

enum route_kind route_decide(struct tg_site *site, const struct http_head *head, const char *bytes, uint64_t random,
                             struct route_outcome *outcome)
{
    outcome_begin(outcome, site, random);
    if (head->target.length > TG_LONGEST_TARGET)
        return answer(outcome, 414, ROUTE_TARGET);
    const int64_t rule = site->spec.flags & TG_ASK_ALWAYS ? FIND_ASK : find_rule(site, head, bytes);

    if (rule == FIND_ASK) {
        outcome->kind = ROUTE_ASK;
        return ROUTE_ASK;
    }
    return outcome_by_rule(outcome, head, bytes, rule, -1);
}

void route_release(struct route_outcome *outcome)
{
    if (outcome->site != NULL)
        site_release(outcome->site);
    free(outcome->written);
    outcome->site = NULL;
    outcome->written = NULL;
}
