/* Frames a whole stream of messages, cut where a harness wants, and tells what it was taken for. */
#ifndef FRAMED_H
#define FRAMED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/frame.h"
#include "mutate.h"

/* What the stream is: requests, or answers, all of them to the same kind of request. */
struct framed_as {
    bool answers, to_head, to_connect;
};

/* mixed: a number over all steps that do not depend on where the stream was cut. */
struct outcome {
    uint64_t mixed;
    enum frame_refusal refusal;
};

/* cuts: in ascending order. Every piece is a copy of its own size, so that the sanitizers see what is read beyond it.
 * Aborts when a span leaves its head, or when bytes are left over. */
struct outcome framed(const struct text *text, struct framed_as as, const size_t *cuts, size_t count);

#endif
