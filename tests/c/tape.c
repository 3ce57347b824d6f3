/*
 * Random YAML through cext/yaml/tape.c, for the sanitizers: every column of every document is read.
 * Usage: tape SECONDS; ends with 0 when nothing was found.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tape.h"

#define PIECES 48

static const char *const pieces[] = {
    "a",   "b: ", "- ", "\n",       "  ",   "---\n", "...\n", "&x ",  "*x",   "!!str ",
    "!t ", "'",   "\"", "|\n",      ">-\n", "[",     "]",     "{",    "}",    ", ",
    "? ",  ": ",  "#",  "\xc3\xa9", "yes",  "<<: ",  "\t",    "\xff", "\x07", "%YAML 1.1\n",
};

static unsigned next_random(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Reads all of a tape; the sum keeps the compiler from leaving the reads out. */
static unsigned long walk(const struct tg_yaml_tape *tape)
{
    unsigned long sum = tape->offsets[tape->count];
    for (uint32_t i = 0; i < tape->count; i++)
        sum += tape->kinds[i] + tape->lines[i] + tape->offsets[i] + tape->after[i];
    for (uint32_t i = 0; i < tape->mark_count; i++)
        sum += tape->marks[i].anchor_end + tape->marks[i].tag_end;
    for (size_t i = 0; i < tape->text_size; i++)
        sum += (unsigned char)tape->text[i];
    return sum;
}

static unsigned long one_text(unsigned *state)
{
    char text[PIECES * 12] = "";
    size_t size = 0;
    for (unsigned count = next_random(state) % PIECES; count > 0; count--) {
        const char *piece = pieces[next_random(state) % (sizeof(pieces) / sizeof(*pieces))];
        memcpy(text + size, piece, strlen(piece));
        size += strlen(piece);
    }
    char *exact = malloc(size == 0 ? 1 : size); /* so that a read past the end is seen */
    if (exact == NULL)
        abort();
    memcpy(exact, text, size);
    struct tg_yaml *yaml = tg_yaml_open(exact, size);
    if (yaml == NULL)
        abort();
    struct tg_yaml_tape tape;
    struct tg_yaml_failure failure;
    unsigned long sum = 0;
    uint32_t max_depth = next_random(state) % 8, max_nodes = next_random(state) % 64;
    while (tg_yaml_next(yaml, max_depth, max_nodes, &tape, &failure) == 1) {
        sum += walk(&tape);
        if (next_random(state) % 4 == 0)
            tg_yaml_release(yaml);
    }
    sum += failure.line + (failure.problem == NULL ? 0 : strlen(failure.problem));
    tg_yaml_close(yaml);
    free(exact);
    return sum;
}

int main(int argc, char **argv)
{
    time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 2);
    unsigned state = 1;
    unsigned long sum = 0, texts = 0;
    for (; time(NULL) < end; texts++)
        sum += one_text(&state);
    printf("tape: %lu texts, sum %lu\n", texts, sum);
    return 0;
}
