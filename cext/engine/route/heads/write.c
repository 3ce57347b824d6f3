#include "route/heads/write.h"

#include <string.h>

#include "route/heads/change.h"
#include "route/heads/cors.h"
#include "route/heads/lines.h"
#include "route/route.h"

static const tg_filters *rule_filters(const struct route_outcome *outcome)
{
    const tg_site_spec *spec = &outcome->site->spec;

    return &spec->filters[spec->rules[outcome->rule].filters];
}

static const tg_filters *backend_filters(const struct route_outcome *outcome)
{
    const tg_site_spec *spec = &outcome->site->spec;
    const tg_site_rule *rule = &spec->rules[outcome->rule];

    return &spec->filters[spec->backends[rule->backends.first + (uint32_t)outcome->backend].filters];
}

static int64_t copy_written(const struct route_outcome *outcome, char *out, size_t room)
{
    if (outcome->written_length > room)
        return -1;
    memcpy(out, outcome->written, outcome->written_length);
    return outcome->written_length;
}

int64_t route_write_request(const struct route_outcome *outcome, const struct http_head *head, const char *bytes,
                            char *out, size_t room)
{
    if (outcome->written != NULL)
        return copy_written(outcome, out, room);
    const tg_filters *filters = rule_filters(outcome), *own = backend_filters(outcome);
    const tg_filters *both[] = {filters, own};
    /* Of two rewrites the backend's counts. */
    const tg_change *rewrite = own->rewrite.bits != 0 ? &own->rewrite : &filters->rewrite;
    struct writer writer = {.out = out, .room = room};
    struct lines lines;
    const uint32_t line_end = head->headers > 0 ? head->header[0].name.at : head->length - 2;
    const uint32_t target_end = head->target.at + head->target.length;

    lines_of(&lines, head, bytes);
    for (size_t i = 0; i < 2; i++)
        lines_edit(&lines, outcome->site, both[i]->request_edits);
    if (rewrite->bits & TG_NEW_HOST)
        lines_set(&lines, text_of("Host"), text_of_piece(outcome->site, rewrite->host));
    write_bytes(&writer, bytes + head->method.at, head->target.at - head->method.at);
    if (rewrite->bits != 0)
        change_target(outcome, rewrite, head, bytes, &writer);
    else
        write_bytes(&writer, bytes + head->target.at, head->target.length);
    write_bytes(&writer, bytes + target_end, line_end - target_end);
    write_lines(&writer, &lines);
    return write_end(&writer);
}

static void edit_lines(const struct route_outcome *outcome, struct lines *lines)
{
    const tg_filters *filters = rule_filters(outcome);

    lines_edit(lines, outcome->site, filters->answer_edits);
    if (outcome->backend >= 0)
        lines_edit(lines, outcome->site, backend_filters(outcome)->answer_edits);
    if (filters->cors >= 0)
        cors_edit(outcome, &outcome->site->spec.cors[filters->cors], lines);
}

int64_t edit_answer(const struct route_outcome *outcome, const struct http_head *head, const char *bytes, char *out,
                    size_t room)
{
    struct writer writer = {.out = out, .room = room};
    struct lines lines;
    const uint32_t line_end = head->headers > 0 ? head->header[0].name.at : head->length - 2;

    lines_of(&lines, head, bytes);
    edit_lines(outcome, &lines);
    write_bytes(&writer, bytes, line_end);
    write_lines(&writer, &lines);
    return write_end(&writer);
}

static const char *reason_of(uint16_t status)
{
    static const struct {
        uint16_t status;
        const char *reason;
    } REASONS[] = {
        {204, "No Content"},         {301, "Moved Permanently"},  {302, "Found"},     {303, "See Other"},
        {307, "Temporary Redirect"}, {308, "Permanent Redirect"}, {404, "Not Found"}, {414, "URI Too Long"},
    };

    for (size_t i = 0; i < sizeof REASONS / sizeof *REASONS; i++)
        if (REASONS[i].status == status)
            return REASONS[i].reason;
    return "Internal Server Error";
}

/* What becomes of the connection, where that is not what the version says. */
static void add_connection(struct lines *lines, const struct http_head *head)
{
    if (!head->keep_alive)
        lines_add(lines, text_of("connection"), text_of("close"));
    else if (head->minor == 0)
        lines_add(lines, text_of("connection"), text_of("keep-alive"));
}

int64_t route_write_own(const struct route_outcome *outcome, const struct http_head *head, const char *bytes, char *out,
                        size_t room)
{
    if (outcome->written != NULL)
        return copy_written(outcome, out, room);
    struct writer writer = {.out = out, .room = room};
    struct lines lines = {.count = 0};
    char place[2 * TG_LONGEST_TARGET];
    struct writer location = {.out = place, .room = sizeof place};

    if (outcome->why != ROUTE_PREFLIGHT)
        lines_add(&lines, text_of("content-length"), text_of("0"));
    if (outcome->why == ROUTE_PREFLIGHT)
        cors_answer(outcome, &outcome->site->spec.cors[rule_filters(outcome)->cors], head, bytes, &lines);
    if (outcome->why == ROUTE_REDIRECTED) {
        change_location(outcome, rule_filters(outcome), head, bytes, &location);
        lines_add(&lines, text_of("location"), (struct text_part){place, (uint32_t)location.length});
        edit_lines(outcome, &lines);
    }
    add_connection(&lines, head);
    write_text(&writer, "HTTP/1.1 ");
    write_number(&writer, outcome->status);
    write_text(&writer, " ");
    write_text(&writer, reason_of(outcome->status));
    write_text(&writer, "\r\n");
    write_lines(&writer, &lines);
    writer.full |= location.full;
    return write_end(&writer);
}
