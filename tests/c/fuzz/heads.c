/* For libFuzzer: a head that a route has edited is still one head, of the same message. Requests go by a rule that
 * edits, rewrites and allows origins; those to /go are redirected; what begins with "HTTP" is the answer to such a
 * request. The framing must read what was written as it reads what came, but for what the rule changes. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/frame.h"
#include "mutate.h"
#include "route/route.h"

enum { MOST = 2048, ROOM = MOST + 4096 };

static const char TEXT[] = "x-gonex-setnewx-addedmore/old/gohost.example/newhttp://a.examplePUT60ns/route";
static const tg_piece GONE = {0, 6}, SET = {6, 5}, NEW = {11, 3}, ADDED = {14, 7}, MORE = {21, 4}, OLD = {25, 4},
                      GO = {29, 3}, HOST = {32, 12}, PREFIX = {44, 4}, ORIGIN = {48, 16}, PUT = {64, 3}, AGE = {67, 2},
                      ROUTE = {69, 8};

static struct tg_site *new_site(void)
{
    const tg_edit edits[] = {{TG_REMOVE, GONE, GONE}, {TG_SET, SET, NEW}, {TG_ADD, ADDED, MORE}};
    const tg_range all = {0, 3};
    const tg_cors cors = {.origins = {0, 1}, .methods = PUT, .max_age = AGE, .credentials = 1};
    const tg_filters filters[] = {
        {.cors = -1},
        {.cors = -1, .redirect_status = 302, .redirect = {TG_NEW_PREFIX, HOST, PREFIX}},
        {.cors = 0, .request_edits = all, .answer_edits = all, .rewrite = {TG_NEW_HOST | TG_NEW_PREFIX, HOST, PREFIX}},
    };
    const tg_backend backends[] = {{.cluster = 1, .weight = 1, .resolved = 1}};
    const tg_site_rule rules[] = {
        {.path_kind = TG_PREFIX, .path = GO, .filters = 1, .backends = {0, 1}, .route = ROUTE},
        {.path_kind = TG_PREFIX, .path = OLD, .filters = 2, .backends = {0, 1}, .route = ROUTE},
        {.path_kind = TG_PREFIX, .filters = 2, .backends = {0, 1}, .route = ROUTE},
    };
    const tg_site_spec spec = {
        .port = 80,
        .text = TEXT,
        .text_length = sizeof TEXT - 1,
        .rules = rules,
        .rule_count = 3,
        .backends = backends,
        .backend_count = 1,
        .filters = filters,
        .filter_count = 3,
        .edits = edits,
        .edit_count = 3,
        .cors = &cors,
        .cors_count = 1,
        .pieces = &ORIGIN,
        .piece_count = 1,
    };
    int error;
    struct tg_site *site = site_new(1, &spec, &error);

    if (site == NULL)
        abort();
    return site;
}

static bool read_head(struct http_head *head, const char *bytes, size_t length, bool is_answer)
{
    struct frame frame;
    size_t used;

    is_answer ? frame_answers(&frame) : frame_requests(&frame);
    frame_lend(&frame, head);
    return frame_pass(&frame, bytes, 0, length, &used) == FRAME_HEAD;
}

static unsigned count_of(const struct http_head *head, const char *bytes, tg_piece name, tg_piece value)
{
    unsigned found = 0;

    for (uint32_t i = 0; i < head->headers; i++) {
        const struct header *one = &head->header[i];

        if (one->name.length != name.length || strncasecmp(bytes + one->name.at, TEXT + name.at, name.length) != 0)
            continue;
        found += value.length == 0 || (one->value.length == value.length &&
                                       memcmp(bytes + one->value.at, TEXT + value.at, value.length) == 0);
    }
    return found;
}

static void compare(const struct text *text, const struct http_head *before, const char *out, int64_t length,
                    bool is_answer)
{
    static struct http_head after;
    const tg_piece any = {0, 0};

    if (length < 0)
        fail_on("heads", "no room where there always is", text);
    if (before->headers + 8 > HTTP_MAX_HEADERS)
        return; /* one more than are taken may be too many */
    if (!read_head(&after, out, (size_t)length, is_answer))
        fail_on("heads", "what was written is no head", text);
    if (after.length != length)
        fail_on("heads", "what was written is more than a head", text);
    if (after.body != before->body || after.content_length != before->content_length || after.minor != before->minor ||
        after.keep_alive != before->keep_alive || after.upgrade != before->upgrade || after.status != before->status ||
        after.expects != before->expects)
        fail_on("heads", "the message is framed otherwise than before", text);
    if (count_of(&after, out, GONE, any) != 0 || count_of(&after, out, SET, any) != 1 ||
        count_of(&after, out, SET, NEW) != 1 || count_of(&after, out, ADDED, MORE) == 0)
        fail_on("heads", "an edit was not made", text);
}

static void try_own(const struct text *text, const struct route_outcome *outcome, struct http_head *head)
{
    static struct http_head answer;
    static char out[ROOM + 2 * TG_LONGEST_TARGET];
    const int64_t length = route_write_own(outcome, head, text->bytes, out, sizeof out);

    if (length < 0 || !read_head(&answer, out, (size_t)length, true) || answer.length != length)
        fail_on("heads", "an answer of our own is no head", text);
    if (answer.status != outcome->status || answer.body != HTTP_NO_BODY)
        fail_on("heads", "an answer of our own is another one", text);
}

static void try_answer(const struct text *text, struct tg_site *site, struct http_head *head)
{
    static const char ASKED[] = "GET /x HTTP/1.1\r\nHost: a\r\nOrigin: http://a.example\r\n\r\n";
    static struct http_head asked;
    struct route_outcome outcome;
    char out[ROOM];

    if (!read_head(&asked, ASKED, sizeof ASKED - 1, false))
        abort();
    if (route_decide(site, &asked, ASKED, 7, &outcome) != ROUTE_FORWARD || !outcome.edits_answer)
        abort();
    compare(text, head, out, route_write_answer(&outcome, head, text->bytes, out, head->length + site->most_added),
            true);
    route_release(&outcome);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct text text;
    static struct http_head head;
    static struct tg_site *site;
    struct route_outcome outcome;
    char out[ROOM];

    if (site == NULL)
        site = new_site();
    if (length > MOST)
        return -1;
    text.length = length;
    memcpy(text.bytes, bytes, length);
    const bool is_answer = length >= 4 && memcmp(bytes, "HTTP", 4) == 0;

    if (!read_head(&head, text.bytes, length, is_answer))
        return 0;
    if (is_answer) {
        try_answer(&text, site, &head);
        return 0;
    }
    switch (route_decide(site, &head, text.bytes, 7, &outcome)) {
    case ROUTE_FORWARD:
        compare(&text, &head, out,
                route_write_request(&outcome, &head, text.bytes, out, head.length + site->most_added), false);
        break;
    case ROUTE_ANSWER:
        try_own(&text, &outcome, &head);
        break;
    default:
        fail_on("heads", "a table without expressions can't say", &text);
    }
    route_release(&outcome);
    return 0;
}
