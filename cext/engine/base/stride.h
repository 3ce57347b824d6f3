/* Round robin by weight: walking the weights' sum in steps of about 0.618 of it draws every ticket once a round, and
 * spreads an endpoint's tickets over the round. */
#ifndef TG_STRIDE_H
#define TG_STRIDE_H

#include <stdint.h>

/* A step with no divisor in common with total, which is at least 1 and at most UINT32_MAX. */
uint64_t stride_of(uint64_t total);

#endif
