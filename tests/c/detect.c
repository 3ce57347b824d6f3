/* Throws damaged first bytes at the detection: each stream as it grows, and a decision must stay as it is. Memory
 * errors are the sanitizers' to find: every beginning is a copy of its own size. Usage: detect SECONDS CORPUS [SEED]
 *
 * Deterministic for a seed; the first line it prints tells the seed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http/detect.h"
#include "mutate.h"

static const char *const WORDS[] = {
    "GET ", " HTTP/1.1\r\n", "HTTP/", "PRI * HTTP/2.0\r\n\r\n", "\r", "\n", " ", "", "\x16\x03\x01",
    "\x01", "\xff",          "\x10",
};

static struct seeds seeds;
static unsigned long long found[DETECTED_OPAQUE + 1];

static enum detected detected(const struct text *text, size_t length, struct hello *hello)
{
    char *copy = malloc(length + !length);

    if (copy == NULL)
        abort();
    memcpy(copy, text->bytes, length);
    const enum detected result = detect_client(copy, length, hello);
    free(copy);
    return result;
}

/* A list of names each behind its length. */
static int is_list(const struct hello *hello)
{
    size_t at = 0;

    while (at < hello->alpn_length && hello->alpn[at] != 0)
        at += 1 + (size_t)(unsigned char)hello->alpn[at];
    return at == hello->alpn_length;
}

static void judge(const struct text *text)
{
    struct hello hello, before = {0};
    enum detected decided = DETECTED_NOTHING;

    for (size_t length = 0; length <= text->length; length += 1 + chance(text->length / 16 + 1)) {
        const enum detected now = detected(text, length, &hello);

        if (decided != DETECTED_NOTHING && now != decided)
            fail_on("detect", "decides otherwise about more bytes", text);
        if (decided == DETECTED_TLS && memcmp(&hello, &before, sizeof hello) != 0)
            fail_on("detect", "other names with more bytes", text);
        if (now == DETECTED_TLS && !is_list(&hello))
            fail_on("detect", "protocols that are no list", text);
        decided = now;
        before = hello;
    }
    found[detected(text, text->length, &hello)]++;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: detect SECONDS CORPUS [SEED]\n");
        return 2;
    }
    const uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : (uint64_t)time(NULL) * 2654435761u + 1;
    printf("detect: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    chance_from(seed);
    seeds.words = WORDS;
    seeds.word_count = sizeof(WORDS) / sizeof(*WORDS);
    seeds_read(&seeds, argv[2], "first");
    seeds_read(&seeds, argv[2], "requests");
    for (double end = seconds() + atof(argv[1]); seconds() < end;) {
        static struct text text;

        text = seeds.text[chance(seeds.count)];
        for (uint64_t left = chance(4); left > 0; left--)
            mutate(&text, &seeds);
        judge(&text);
    }
    for (size_t i = 0; i <= DETECTED_OPAQUE; i++) {
        if (found[i] == 0) {
            fprintf(stderr, "detect: no stream was taken for %zu: the corpus is missing something\n", i);
            return 1;
        }
    }
    printf("detect: %llu undecided, %llu HTTP/1, %llu HTTP/2, %llu TLS, %llu opaque\n", found[0], found[1], found[2],
           found[3], found[4]);
    return 0;
}
