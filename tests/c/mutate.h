/* Streams of bytes and random damage to them, for harnesses that throw such streams at a parser. */
#ifndef MUTATE_H
#define MUTATE_H

#include <stddef.h>
#include <stdint.h>

enum { MAX_STREAM = 8192, MAX_SEEDS = 256 };

struct text {
    size_t length;
    char bytes[MAX_STREAM];
};

/* Undamaged streams, and words that damage puts into them. */
struct seeds {
    size_t count;
    struct text text[MAX_SEEDS];
    const char *const *words; /* an empty one stands for NUL */
    size_t word_count;
};

/* The same numbers follow the same seed, which is not 0. */
void chance_from(uint64_t seed);

/* A random number below `below`; 0 when that is 0. */
uint64_t chance(uint64_t below);

/* Changes one place. */
void mutate(struct text *text, const struct seeds *seeds);

/* Adds the files of a folder; ends the process when one can't be read. */
void seeds_read(struct seeds *seeds, const char *corpus, const char *kind);

/* Says what is wrong with a stream, shows it and aborts. */
_Noreturn void fail_on(const char *harness, const char *what, const struct text *text);

/* Of a clock that only goes forward. */
double seconds(void);

#endif
