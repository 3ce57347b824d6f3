/* Throws mutated HTTP/1 at the framing code: each stream whole and cut at random, and both must be framed alike. Memory
 * errors are the sanitizers' to find: every piece is a copy of its own size. Usage: http SECONDS CORPUS [SEED]
 *
 * Deterministic for a seed, so that what it finds can be found again; the first line it prints tells the seed. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http/frame.h"

enum { MAX_STREAM = 8192, MAX_SEEDS = 256, MAX_CUTS = 8 };

struct text {
    size_t length;
    char bytes[MAX_STREAM];
};

static struct text seeds[MAX_SEEDS];
static bool seed_answers[MAX_SEEDS];
static size_t seed_count;
static uint64_t state;

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

static uint64_t chance(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return below ? state % below : 0;
}

static void put(struct text *text, size_t at, const char *bytes, size_t length)
{
    char copy[MAX_STREAM]; /* the bytes may be the text's own */

    if (text->length + length > MAX_STREAM)
        return;
    memcpy(copy, bytes, length);
    memmove(text->bytes + at + length, text->bytes + at, text->length - at);
    memcpy(text->bytes + at, copy, length);
    text->length += length;
}

static void cut(struct text *text, size_t at, size_t length)
{
    if (length > text->length - at)
        length = text->length - at;
    memmove(text->bytes + at, text->bytes + at + length, text->length - at - length);
    text->length -= length;
}

static void mutate(struct text *text)
{
    size_t at = chance(text->length + 1);
    const struct text *other = &seeds[chance(seed_count)];
    size_t word = chance(sizeof(WORDS) / sizeof(*WORDS));

    switch (chance(6)) {
    case 0:
        if (at < text->length)
            text->bytes[at] ^= (char)(1u << chance(8));
        break;
    case 1:
        put(text, at, WORDS[word], strlen(WORDS[word]) + (WORDS[word][0] == 0));
        break;
    case 2:
        cut(text, at, 1 + chance(8));
        break;
    case 3:
        if (at < text->length)
            text->bytes[at] = (char)chance(256);
        break;
    case 4:
        put(text, at, other->bytes, chance(other->length + 1));
        break;
    case 5:
        put(text, at, text->bytes + chance(at + 1), chance(32) % (text->length - at + 1));
        break;
    }
}

static void fail(const char *what, const struct text *text)
{
    fprintf(stderr, "http: %s\n", what);
    for (size_t i = 0; i < text->length; i++)
        fprintf(stderr, "\\x%02x", (unsigned char)text->bytes[i]);
    fputc('\n', stderr);
    abort();
}

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
            fail("a header beyond its head", text);
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
                fail("more used than given", text);
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
                fail("a rest that nobody took", text);
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

static void read_seeds(const char *corpus, const char *kind, bool answers)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", corpus, kind);
    DIR *folder = opendir(path);
    struct dirent *entry;

    if (!folder) {
        perror(path);
        exit(2);
    }
    while ((entry = readdir(folder)) && seed_count < MAX_SEEDS) {
        char name[8192];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        FILE *file = fopen(name, "rb");

        if (!file) {
            perror(name);
            exit(2);
        }
        seeds[seed_count].length = fread(seeds[seed_count].bytes, 1, MAX_STREAM / 2, file);
        seed_answers[seed_count++] = answers;
        fclose(file);
    }
    closedir(folder);
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: http SECONDS CORPUS [SEED]\n");
        return 2;
    }
    state = argc > 3 ? strtoull(argv[3], NULL, 0) : (uint64_t)time(NULL) * 2654435761u + 1;
    printf("http: seed %llu\n", (unsigned long long)state);
    fflush(stdout);
    read_seeds(argv[2], "requests", false);
    read_seeds(argv[2], "answers", true);

    unsigned long long streams = 0, refused = 0;

    for (double end = now() + atof(argv[1]); now() < end; streams++) {
        size_t chosen = chance(seed_count), cuts[MAX_CUTS], count = chance(MAX_CUTS);
        static struct text text;

        text = seeds[chosen];
        for (uint64_t left = streams < seed_count ? 0 : chance(4); left; left--)
            mutate(&text);
        for (size_t i = 0; i < count; i++)
            cuts[i] = chance(text.length + 1);
        qsort(cuts, count, sizeof(*cuts), by_place);
        struct outcome whole = framed(&text, seed_answers[chosen], NULL, 0);
        struct outcome in_pieces = framed(&text, seed_answers[chosen], cuts, count);

        if (whole.mixed != in_pieces.mixed || whole.refusal != in_pieces.refusal)
            fail("framed otherwise when cut", &text);
        refused += whole.refusal != REFUSED_NOT;
    }
    printf("http: %llu streams, %llu of them refused\n", streams, refused);
    return 0;
}
