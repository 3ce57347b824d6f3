/* Throws damaged heads and random specs at the rules of routes: specs whose numbers point anywhere, which must be
 * refused or hold, and requests of which every outcome is written out. Memory errors are the sanitizers' to find.
 * Usage: route SECONDS CORPUS [SEED]
 *
 * Deterministic for a seed; the first line it prints tells the seed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http/frame.h"
#include "mutate.h"
#include "route/ask.h"
#include "route/heads/session.h"
#include "route/route.h"

enum { MOST = 8, TEXT = 64, TOKENS = 24 };

static struct seeds seeds;
static unsigned long long refused, forwarded, answered, asked;

static const char *const WORDS[] = {
    "/a",        "/b/",      "/../",    "%2e",  "%41",  "?q=1", "&q=2",           "x-a: 1\r\n", "X-A: 2\r\n",
    "Origin: /", "http://a", "OPTIONS", "GET ", "\r\n", "*",    "Host: a:80\r\n", "%",          "+"};

static bool wild; /* numbers may be any */

static uint32_t number(uint32_t below)
{
    return wild && chance(64) == 0 ? (uint32_t)chance(UINT32_MAX) : (uint32_t)chance(below + 1);
}

/* Of the text's first part, which is of tokens, or of all of it. */
static tg_piece piece_of(uint32_t from, uint32_t to, uint32_t least)
{
    const uint32_t at = from + (uint32_t)chance(to - from - 4);

    return (tg_piece){wild ? number(TEXT) : at, wild ? number(5) : least + (uint32_t)chance(4)};
}

static tg_piece piece(void)
{
    return piece_of(0, TEXT, 0);
}

static tg_piece name(void)
{
    return piece_of(0, TOKENS, 1);
}

static tg_piece path(const char *text)
{
    tg_piece found = piece_of(TOKENS, TEXT, 0);

    while (!wild && found.length > 0 && text[found.at + found.length - 1] == '/')
        found.length--;
    return found;
}

static tg_range range(uint32_t count)
{
    const uint32_t first = number(count);

    return (tg_range){first, first < count ? (uint32_t)chance(count - first + 1) : number(0)};
}

static tg_change change(void)
{
    static const int32_t BITS[] = {0, TG_NEW_HOST, TG_NEW_PATH, TG_NEW_PREFIX, TG_NEW_HOST | TG_NEW_PREFIX};

    return (tg_change){wild ? (int32_t)number(7) : BITS[chance(5)], name(), piece()};
}

/* Fills arrays of MOST things each and points the spec at them. */
static void make_spec(tg_site_spec *spec)
{
    static char text[TEXT];
    static tg_site_rule rules[MOST];
    static tg_condition conditions[MOST];
    static tg_backend backends[MOST];
    static tg_filters filters[MOST];
    static tg_edit edits[MOST];
    static tg_mirror mirrors[MOST];
    static tg_cors cors[MOST];
    static tg_piece pieces[MOST];
    static tg_session sessions[MOST];

    for (int i = 0; i < TEXT; i++)
        text[i] = i < TOKENS ? "abx-aq1*"[chance(8)] : "/ab/x-aq1*"[chance(10)];
    wild = chance(4) == 0;
    for (int i = 0; i < MOST; i++) {
        rules[i] = (tg_site_rule){(int32_t)number(2),
                                  number(MOST - 1),
                                  path(text),
                                  chance(2) ? (tg_piece){0, 0} : name(),
                                  chance(2) ? (tg_range){0, 0} : range(MOST),
                                  range(MOST),
                                  piece(),
                                  number(9),
                                  number(9),
                                  (int32_t)number(MOST),
                                  0,
                                  {0}};
        sessions[i] =
            (tg_session){(int32_t)chance(2), (int32_t)chance(2), name(), path(text), 1 + number(9), number(9)};
        conditions[i] = (tg_condition){(int32_t)number(1), chance(4) ? TG_EXACT : TG_REGEX, name(), piece()};
        backends[i] = (tg_backend){chance(9), number(9), number(MOST - 1), chance(8) > 0, 0};
        filters[i] = (tg_filters){
            .request_edits = range(MOST),
            .answer_edits = range(MOST),
            .mirrors = range(MOST),
            .unobeyed = chance(8) == 0,
            .cors = (int32_t)number(MOST) - 1,
            .rewrite = change(),
            .redirect = change(),
            .redirect_status = chance(2) ? 0 : 300 + (int32_t)number(99),
            .redirect_port = (int32_t)number(90),
            .redirect_scheme = piece(),
        };
        edits[i] = (tg_edit){(int32_t)number(2), name(), piece()};
        mirrors[i] = (tg_mirror){chance(9), number(9), 1 + number(9)};
        cors[i] = (tg_cors){range(MOST), piece(), piece(), piece(), piece(), (int32_t)chance(2)};
        pieces[i] = piece();
    }
    *spec = (tg_site_spec){
        .port = number(65535),
        .text = text,
        .text_length = TEXT,
        .rule_count = MOST,
        .rules = rules,
        .conditions = conditions,
        .backends = backends,
        .filters = filters,
        .edits = edits,
        .mirrors = mirrors,
        .cors = cors,
        .pieces = pieces,
        .sessions = sessions,
        .session_count = MOST,
        .condition_count = MOST,
        .backend_count = MOST,
        .filter_count = MOST,
        .edit_count = MOST,
        .mirror_count = MOST,
        .cors_count = MOST,
        .piece_count = MOST,
    };
}

/* Anything may come back through the door. */
static void reply_anything(void *data, const tg_question *question, tg_reply *reply)
{
    (void)data;
    reply->kind = (int32_t)number(5);
    reply->rule = (int32_t)number(MOST) - 1;
    reply->backend = (int32_t)number(2) - 1;
    reply->status = (int32_t)number(599);
    reply->watches = (int32_t)chance(2);
    reply->written = chance(4) ? question->head_length : number(reply->room);
    if (reply->written <= reply->room && reply->written <= question->head_length)
        memcpy(reply->out, question->head, reply->written);
}

static void write_all(struct route_outcome *outcome, const struct http_head *head, const char *bytes, size_t room)
{
    char *out = malloc(room + 1);
    int64_t length = 0;

    if (outcome->kind == ROUTE_ANSWER) {
        answered++;
        length = route_write_own(outcome, head, bytes, out, room);
    } else {
        forwarded++;
        if (outcome->edits_request)
            length = route_write_request(outcome, head, bytes, out, room);
        if (length >= 0 && outcome->edits_answer)
            length = route_write_answer(outcome, head, bytes, out, room);
    }
    if (length > (int64_t)room)
        abort();
    free(out);
}

static void read_session(const struct tg_site *site, const tg_site_rule *rule, const struct http_head *head,
                         const char *bytes)
{
    struct session_token token = {0};
    uint32_t length;
    if (rule->session == 0)
        return;
    const tg_session *session = &site->spec.sessions[rule->session - 1];
    (void)session_read(site, session, head, bytes, 5, &token);
    free(session_line(site, session, &token, 5, &length));
}

static void decide(struct tg_site *site, const struct text *text)
{
    static struct http_head head;
    struct frame frame;
    struct route_outcome outcome;
    const struct tg_door door = {reply_anything, NULL};
    size_t used;
    char *copy = malloc(text->length + 1);

    memcpy(copy, text->bytes, text->length);
    frame_requests(&frame);
    frame_lend(&frame, &head);
    if (frame_pass(&frame, copy, 0, text->length, &used) == FRAME_HEAD) {
        if (route_decide(site, &head, copy, chance(UINT64_MAX), &outcome) == ROUTE_ASK) {
            asked++;
            route_ask(&door, &head, copy, NULL, &outcome);
        }
        if (outcome.rule >= 0)
            read_session(site, &site->spec.rules[outcome.rule], &head, copy);
        write_all(&outcome, &head, copy, chance(4) ? head.length + site->most_added : chance(300));
        route_release(&outcome);
    } else {
        refused++;
    }
    free(copy);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: route SECONDS CORPUS [SEED]\n");
        return 2;
    }
    const uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : (uint64_t)time(NULL) * 2654435761u + 1;
    printf("route: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    chance_from(seed);
    seeds.words = WORDS;
    seeds.word_count = sizeof(WORDS) / sizeof(*WORDS);
    seeds_read(&seeds, argv[2], "requests");

    unsigned long long made = 0, unsound = 0;

    for (double end = seconds() + atof(argv[1]); seconds() < end;) {
        tg_site_spec spec;
        int error;

        make_spec(&spec);
        struct tg_site *site = site_new(1 + chance(3), &spec, &error);
        if (site == NULL) {
            unsound++;
            continue;
        }
        made++;
        for (int i = 0; i < 16; i++) {
            static struct text text;

            text = seeds.text[chance(seeds.count)];
            for (uint64_t left = chance(4); left; left--)
                mutate(&text, &seeds);
            decide(site, &text);
        }
        site_release(site);
    }
    printf("route: %llu sites, %llu unsound; %llu forwarded, %llu answered, %llu asked, %llu heads refused\n", made,
           unsound, forwarded, answered, asked, refused);
    return forwarded == 0 || answered == 0 || asked == 0;
}
