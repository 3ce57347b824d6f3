/* A header more in a head. */
#ifndef TG_HEAD_LINE_H
#define TG_HEAD_LINE_H

#include "base/pool.h"

/* The head's bytes with a line, its end included, behind its last header; NULL: no memory. */
struct tg_buffer *head_with_line(const char *bytes, size_t length, const char *line, size_t line_length);

#endif
