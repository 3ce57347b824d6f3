/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Read-only and known to the verifier: code behind a missing feature is dead to it and is never checked. */
#ifndef TIDEGATE_FEATURES_H
#define TIDEGATE_FEATURES_H

#include "common.h"

volatile const __u32 tg_features = 0;

static __always_inline bool has(enum tg_feature feature)
{
    return tg_features & feature;
}

#endif
