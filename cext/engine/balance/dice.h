/* Numbers that look random but follow from a seed: the same arithmetic as in proxy/core/dice.py, so that one
 * can be held to the other. */
#ifndef TG_DICE_H
#define TG_DICE_H

#include <stddef.h>
#include <stdint.h>

#define DICE_STEP UINT64_C(0x9e3779b97f4a7c15)

static inline uint64_t dice_mix(uint64_t value)
{
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

/* The next number of the sequence that `seed` began. */
static inline uint64_t dice_next(uint64_t *seed)
{
    *seed += DICE_STEP;
    return dice_mix(*seed);
}

/* One of 0 to bound - 1; bound is at least 1. */
static inline uint64_t dice_below(uint64_t number, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)number * bound) >> 64);
}

/* What a consistent hash is looked up by: FNV-1a over bytes that come piece by piece, mixed at the end. */
#define DICE_HASH_BEGIN UINT64_C(0xcbf29ce484222325)

static inline uint64_t dice_hash_more(uint64_t hash, const void *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static inline uint64_t dice_hash(const void *bytes, size_t length)
{
    return dice_mix(dice_hash_more(DICE_HASH_BEGIN, bytes, length));
}

#endif
