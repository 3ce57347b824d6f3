#include "http/opaque.h"

/* The parser counts a body's length down as it comes; the last byte ends the message, so it has to see that. */
uint64_t frame_opaque(const struct frame *frame)
{
    if (frame->body == 0)
        return 0; /* it is not known to stand at the body yet */
    switch (frame->shape) {
    case HTTP_LENGTH:
        return frame->parser.content_length == 0 ? 0 : frame->parser.content_length - 1;
    case HTTP_UNTIL_CLOSE:
        return UINT64_MAX;
    default:
        return 0;
    }
}

void frame_skip(struct frame *frame, uint64_t bytes)
{
    if (frame->shape == HTTP_LENGTH)
        frame->parser.content_length -= bytes;
    frame->body += bytes;
}
