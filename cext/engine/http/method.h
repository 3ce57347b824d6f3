/* The method of a request line. llhttp knows a list of methods; any token is one (RFC 9110, 9.1). So it is read here,
 * and the parser is told of the only one that frames differently. */
#ifndef TG_HTTP_METHOD_H
#define TG_HTTP_METHOD_H

#include <stdbool.h>
#include <stddef.h>

#include "http/head.h"

enum { HTTP_MAX_METHOD = 64 };

/* bytes: all of the request so far. Returns how many bytes the method and the space behind it take, with line breaks
 * that stand before it; 0: more are needed; -1: there is no method. *method is set when the result is positive. */
int method_take(struct span *method, const char *bytes, size_t length);

/* Whether the character may stand in a method or in a header's name. */
bool method_is_token(char character);

#endif
