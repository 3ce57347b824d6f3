/* The clock that all deadlines and durations are of. */
#ifndef TG_CLOCK_H
#define TG_CLOCK_H

#include <stdint.h>

/* Monotonic. */
uint64_t clock_us(void);

#endif
