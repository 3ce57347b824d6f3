#include "route/check.h"

#include <string.h>

#include "http/method.h"

static bool is_piece(const tg_site_spec *spec, tg_piece piece)
{
    return (uint64_t)piece.at + piece.length <= spec->text_length;
}

static bool is_range(tg_range range, uint32_t count)
{
    return (uint64_t)range.first + range.count <= count;
}

static bool is_token(const tg_site_spec *spec, tg_piece piece)
{
    if (!is_piece(spec, piece) || piece.length == 0)
        return false;
    for (uint32_t i = 0; i < piece.length; i++)
        if (!method_is_token(spec->text[piece.at + i]))
            return false;
    return true;
}

/* May stand in a header's value: no line end, no NUL. */
static bool is_value(const tg_site_spec *spec, tg_piece piece)
{
    if (!is_piece(spec, piece))
        return false;
    for (uint32_t i = 0; i < piece.length; i++) {
        const char one = spec->text[piece.at + i];
        if (one == '\r' || one == '\n' || one == '\0')
            return false;
    }
    return true;
}

/* May stand in a request line. */
static bool is_part_of_target(const tg_site_spec *spec, tg_piece piece)
{
    if (!is_piece(spec, piece))
        return false;
    for (uint32_t i = 0; i < piece.length; i++) {
        const unsigned char one = (unsigned char)spec->text[piece.at + i];
        if (one <= ' ' || one == 0x7f)
            return false;
    }
    return true;
}

static bool is_change(const tg_site_spec *spec, const tg_change *change)
{
    const int32_t both = TG_NEW_PATH | TG_NEW_PREFIX;

    return (change->bits & ~(TG_NEW_HOST | both)) == 0 && (change->bits & both) != both &&
           is_part_of_target(spec, change->host) && is_part_of_target(spec, change->path) &&
           (!(change->bits & TG_NEW_HOST) || change->host.length > 0);
}

static bool is_redirect(const tg_site_spec *spec, const tg_filters *filters)
{
    const int32_t status = filters->redirect_status;

    if (!is_change(spec, &filters->redirect) || !is_part_of_target(spec, filters->redirect_scheme))
        return false;
    return status == 0 ||
           (status >= 300 && status <= 399 && filters->redirect_port >= 0 && filters->redirect_port <= 65535);
}

static bool are_edits(const tg_site_spec *spec, tg_range range)
{
    return is_range(range, spec->edit_count) && range.count <= TG_MAX_EDITS;
}

static bool are_filters(const tg_site_spec *spec, const tg_filters *filters)
{
    return are_edits(spec, filters->request_edits) && are_edits(spec, filters->answer_edits) &&
           is_range(filters->mirrors, spec->mirror_count) && filters->mirrors.count <= TG_MAX_MIRRORS &&
           filters->cors >= -1 && (filters->cors < 0 || (uint32_t)filters->cors < spec->cors_count) &&
           is_change(spec, &filters->rewrite) && is_redirect(spec, filters);
}

static bool is_rule(const tg_site_spec *spec, const tg_site_rule *rule)
{
    if (rule->path_kind < TG_EXACT || rule->path_kind > TG_REGEX || rule->filters >= spec->filter_count ||
        !is_piece(spec, rule->path) || !is_piece(spec, rule->method) || !is_piece(spec, rule->route) ||
        !is_range(rule->conditions, spec->condition_count) || !is_range(rule->backends, spec->backend_count))
        return false;
    if (!(rule->retry.budget_percent >= 0 && rule->retry.budget_percent <= 100 && rule->retry.budget_per_s >= 0))
        return false;
    if (rule->session < 0 || (uint32_t)rule->session > spec->session_count)
        return false;
    /* The evaluator asks for prefixes only where a segment ends. */
    return rule->path_kind != TG_PREFIX || rule->path.length == 0 ||
           spec->text[rule->path.at + rule->path.length - 1] != '/';
}

static bool is_condition(const tg_site_spec *spec, const tg_condition *one)
{
    return (one->subject == TG_HEADER || one->subject == TG_PARAMETER) &&
           (one->kind == TG_EXACT || one->kind == TG_REGEX) && is_piece(spec, one->name) && is_piece(spec, one->value);
}

static bool is_edit(const tg_site_spec *spec, const tg_edit *one)
{
    return one->how >= TG_SET && one->how <= TG_REMOVE && is_token(spec, one->name) && is_value(spec, one->value);
}

static bool is_cors(const tg_site_spec *spec, const tg_cors *one)
{
    return is_range(one->origins, spec->piece_count) && is_value(spec, one->methods) && is_value(spec, one->headers) &&
           is_value(spec, one->exposed) && is_value(spec, one->max_age);
}

static bool is_percent(double one)
{
    return one >= 0 && one <= 100;
}

static bool is_name_or_none(const tg_site_spec *spec, tg_piece piece)
{
    return piece.length == 0 || is_token(spec, piece);
}

static bool is_policy(const tg_site_spec *spec, const tg_request_policy *one)
{
    if (!is_range(one->fault_conditions, spec->condition_count) || !is_name_or_none(spec, one->rate_header) ||
        !is_name_or_none(spec, one->shed_header) || !is_name_or_none(spec, one->deadline_header))
        return false;
    for (uint32_t i = 0; i < one->fault_conditions.count; i++) {
        const tg_condition *wanted = &spec->conditions[one->fault_conditions.first + i];
        if (wanted->subject != TG_HEADER || wanted->kind != TG_EXACT)
            return false;
    }
    if (!(one->rate_per_s >= 0 && one->rate_per_s <= 1e9) || (one->rate_per_s > 0 && one->rate_burst == 0))
        return false;
    return is_percent(one->shed_percent) && is_percent(one->delay_percent) && is_percent(one->abort_percent) &&
           is_percent(one->hedge_percent) && one->hedge_quantile >= 0 && one->hedge_quantile < 1 &&
           (one->abort_percent == 0 || (one->abort_status >= 200 && one->abort_status <= 599));
}

static bool is_session(const tg_site_spec *spec, const tg_session *one)
{
    return is_token(spec, one->name) && is_part_of_target(spec, one->path) &&
           (one->path.length == 0 || memchr(spec->text + one->path.at, ';', one->path.length) == NULL) &&
           (!one->permanent || one->absolute_s > 0);
}

static bool are_counts(const tg_site_spec *spec)
{
    const uint32_t most = 16 * TG_MAX_RULES;

    return spec->rule_count <= TG_MAX_RULES && spec->condition_count <= most && spec->backend_count <= most &&
           spec->filter_count <= most && spec->edit_count <= most && spec->mirror_count <= most &&
           spec->cors_count <= most && spec->piece_count <= most && spec->policy_count <= 1 &&
           spec->session_count <= most && spec->port <= 65535 &&
           (spec->flags & ~(uint32_t)(TG_ASK_ALWAYS | TG_HTTPS)) == 0;
}

#define ALL(items, count, holds)                                                                                       \
    for (uint32_t i = 0; i < spec->count; i++)                                                                         \
        if (!holds(spec, &spec->items[i]))                                                                             \
            return false;

bool spec_is_sound(const tg_site_spec *spec)
{
    if (!are_counts(spec))
        return false;
    ALL(rules, rule_count, is_rule)
    ALL(conditions, condition_count, is_condition)
    ALL(filters, filter_count, are_filters)
    ALL(edits, edit_count, is_edit)
    ALL(cors, cors_count, is_cors)
    ALL(policies, policy_count, is_policy)
    ALL(sessions, session_count, is_session)
    for (uint32_t i = 0; i < spec->piece_count; i++)
        if (!is_value(spec, spec->pieces[i]))
            return false;
    for (uint32_t i = 0; i < spec->mirror_count; i++)
        if (spec->mirrors[i].denominator == 0)
            return false;
    for (uint32_t i = 0; i < spec->backend_count; i++)
        if (spec->backends[i].filters >= spec->filter_count)
            return false;
    return true;
}
