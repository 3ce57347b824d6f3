/* Throws mutated HTTP/1 at the framing code: each stream whole and cut at random, and both must be framed alike. Memory
 * errors are the sanitizers' to find: every piece is a copy of its own size. Usage: http SECONDS CORPUS [SEED]
 *
 * Deterministic for a seed, so that what it finds can be found again; the first line it prints tells the seed. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "framed.h"
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

        const struct framed_as what = {.answers = chosen >= first_answer};

        text = seeds.text[chosen];
        for (uint64_t left = streams < seeds.count ? 0 : chance(4); left; left--)
            mutate(&text, &seeds);
        for (size_t i = 0; i < count; i++)
            cuts[i] = chance(text.length + 1);
        qsort(cuts, count, sizeof(*cuts), by_place);
        struct outcome whole = framed(&text, what, NULL, 0);
        struct outcome in_pieces = framed(&text, what, cuts, count);

        if (whole.mixed != in_pieces.mixed || whole.refusal != in_pieces.refusal)
            fail_on("http", "framed otherwise when cut", &text);
        refused += whole.refusal != REFUSED_NOT;
    }
    printf("http: %llu streams, %llu of them refused\n", streams, refused);
    return 0;
}
