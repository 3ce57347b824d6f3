/* What of a body may pass unseen. */
#ifndef TG_HTTP_OPAQUE_H
#define TG_HTTP_OPAQUE_H

#include <stdint.h>

#include "http/frame.h"

/* How many of the next bytes are of the body for certain, whatever they are. Behind them there is more of the message,
 * or its end by the stream's. */
uint64_t frame_opaque(const struct frame *frame);

/* So many of those have passed unseen. */
void frame_skip(struct frame *frame, uint64_t bytes);

#endif
