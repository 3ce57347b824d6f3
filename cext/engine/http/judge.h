/* Whether a head that is well-formed may be taken: what its headers say about the length of the message must allow one
 * reading only. */
#ifndef TG_HTTP_JUDGE_H
#define TG_HTTP_JUDGE_H

#include "http/frame.h"

/* To be called by the parser's own callback at the end of a head, before it decides on the body. Fills in what `head`
 * says about body and connection, and tells the parser of answers that have none. */
enum frame_refusal judge_head(struct frame *frame);

#endif
