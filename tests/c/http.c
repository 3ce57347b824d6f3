/* Throws mutated HTTP/1 at the framing code: each stream whole and cut at random, and both must be framed alike. Memory
 * errors are the sanitizers' to find: every piece is a copy of its own size. Usage: http SECONDS CORPUS [SEED]
 *
 * Deterministic for a seed, so that what it finds can be found again; the first line it prints tells the seed. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http/frame.h"
#include "mutate.h"

enum { MAX_CUTS = 8 };

static struct seeds seeds;

static const char *const WORDS[] = {
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "chunked",
    ", ",
    "\r\n",
    "\n",
    "\r",
    "0\r\n\r\n",
    "5\r\n",
    ";",
    "ffffffffffffffff",
    "HTTP/1.1",
    "HTTP/1.0",
    " ",
    "\t",
    ":",
    "\0",
    "Connection: close\r\n",
    "Upgrade: x\r\n",
    "GET / HTTP/1.1\r\n",
    "204",
    "304",
    "101",
    "-",
    "+",
    "\x80",
};

/* What a stream was taken for: a number over all steps that do not depend on where it was cut, and the refusal. */
struct outcome {
    uint64_t mixed;
    enum frame_refusal refusal;
};

static void mix(struct outcome *outcome, uint64_t value)
{
    outcome->mixed = (outcome->mixed ^ value) * 0x100000001b3u;
}

static void mix_head(struct outcome *outcome, const struct http_head *head, const struct text *text)
{
    mix(outcome, head->length);
    mix(outcome, head->body);
    mix(outcome, head->content_length);
    mix(outcome, head->headers);
    for (uint32_t i = 0; i < head->headers; i++) {
        const struct header *one = &head->header[i];

        if ((uint64_t)one->name.at + one->name.length > head->length ||
            (uint64_t)one->value.at + one->value.length > head->length)
            fail_on("http", "a header beyond its head", text);
        mix(outcome, ((uint64_t)one->name.at << 32) ^ one->value.at);
        mix(outcome, ((uint64_t)one->name.length << 32) ^ one->value.length);
    }
}

static struct outcome framed(const struct text *text, bool answers, const size_t *cuts, size_t count)
{
    struct frame frame;
    struct http_head *head = malloc(sizeof(*head));
    struct outcome outcome = {0};
    size_t message = 0, at = 0; /* where the message began whose head is read; what has been passed */
    bool in_head = true;

    answers ? frame_answers(&frame) : frame_requests(&frame);
    frame_lend(&frame, head);
    for (size_t i = 0; i <= count; i++) {
        size_t end = i < count ? cuts[i] : text->length;

        for (;;) {
            size_t from = in_head ? message : at, used;

            if (in_head && at == end)
                break;
            char *copy = malloc(end - from + !(end - from));

            memcpy(copy, text->bytes + from, end - from);
            enum frame_step step = frame_pass(&frame, copy, at - from, end - from, &used);

            free(copy);
            if (used > end - at)
                fail_on("http", "more used than given", text);
            at += used;
            if (step == FRAME_REFUSED || step == FRAME_TUNNEL) {
                outcome.refusal = frame.refusal;
                mix(&outcome, step == FRAME_TUNNEL ? at : 0);
                free(head);
                return outcome;
            }
            if (step == FRAME_HEAD) {
                mix_head(&outcome, head, text);
                in_head = false;
                continue;
            }
            if (step == FRAME_END) {
                mix(&outcome, at);
                in_head = true;
                message = at;
                frame_lend(&frame, head);
                continue;
            }
            if (at != end)
                fail_on("http", "a rest that nobody took", text);
            break;
        }
    }
    enum frame_step step = frame_close(&frame);

    mix(&outcome, step);
    outcome.refusal = frame.refusal;
    free(head);
    return outcome;
}

static int by_place(const void *one, const void *other)
{
    size_t a = *(const size_t *)one, b = *(const size_t *)other;

    return a < b ? -1 : a > b;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: http SECONDS CORPUS [SEED]\n");
        return 2;
    }
    const uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : (uint64_t)time(NULL) * 2654435761u + 1;
    printf("http: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    chance_from(seed);
    seeds.words = WORDS;
    seeds.word_count = sizeof(WORDS) / sizeof(*WORDS);
    seeds_read(&seeds, argv[2], "requests");
    const size_t first_answer = seeds.count;
    seeds_read(&seeds, argv[2], "answers");

    unsigned long long streams = 0, refused = 0;

    for (double end = seconds() + atof(argv[1]); seconds() < end; streams++) {
        size_t chosen = chance(seeds.count), cuts[MAX_CUTS], count = chance(MAX_CUTS);
        static struct text text;

        const bool answers = chosen >= first_answer;

        text = seeds.text[chosen];
        for (uint64_t left = streams < seeds.count ? 0 : chance(4); left; left--)
            mutate(&text, &seeds);
        for (size_t i = 0; i < count; i++)
            cuts[i] = chance(text.length + 1);
        qsort(cuts, count, sizeof(*cuts), by_place);
        struct outcome whole = framed(&text, answers, NULL, 0);
        struct outcome in_pieces = framed(&text, answers, cuts, count);

        if (whole.mixed != in_pieces.mixed || whole.refusal != in_pieces.refusal)
            fail_on("http", "framed otherwise when cut", &text);
        refused += whole.refusal != REFUSED_NOT;
    }
    printf("http: %llu streams, %llu of them refused\n", streams, refused);
    return 0;
}
