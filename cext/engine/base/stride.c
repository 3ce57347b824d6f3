#include "base/stride.h"

static uint64_t common_divisor(uint64_t one, uint64_t other)
{
    while (other != 0) {
        const uint64_t rest = one % other;
        one = other;
        other = rest;
    }
    return one;
}

uint64_t stride_of(uint64_t total)
{
    uint64_t stride = total * 618 / 1000;
    if (stride == 0)
        stride = 1;
    while (common_divisor(stride, total) != 1)
        stride++;
    return stride;
}
