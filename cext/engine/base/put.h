/* Writing text: each function writes at `at`, which must have room, and returns where it ends. No NUL is written. */
#ifndef TG_PUT_H
#define TG_PUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "engine.h"

/* The second whose date was worked out last. */
struct tg_dated {
    time_t second;
    char date[32];
};

char *put(char *at, const char *text);
char *put_number(char *at, uint64_t value, int digits); /* with leading zeros up to so many digits */
char *put_milliseconds(char *at, uint64_t us);          /* with three decimals */
char *put_address(char *at, const tg_address *address);
char *put_time(char *at, struct tg_dated *dated, uint64_t wall_us); /* in UTC with milliseconds */

enum { PUT_WORST = 5 }; /* bytes that one byte of a peer's text may become */

/* Bytes that a peer chose. What is not printable ASCII becomes \xNN. JSON: in quotes. Else in quotes only where it has
 * a blank, a quote or an equals sign in it; "-" where it is empty, in both. */
char *put_shown(char *at, const char *text, size_t length, bool json);

#endif
