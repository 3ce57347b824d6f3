#include "http/method.h"

#include <string.h>

bool method_is_token(char character)
{
    static const char OTHERS[] = "!#$%&'*+-.^_`|~";

    return (character >= '0' && character <= '9') || (character >= 'a' && character <= 'z') ||
           (character >= 'A' && character <= 'Z') || (character && strchr(OTHERS, character));
}

int method_take(struct span *method, const char *bytes, size_t length)
{
    size_t at = 0;

    /* A line break in front of a request is allowed (RFC 9112, 2.2); two are what careless clients send. */
    while (at < length && at < 4 && (bytes[at] == '\r' || bytes[at] == '\n')) {
        if (bytes[at] != "\r\n"[at & 1])
            return -1;
        at++;
    }
    if (at == length)
        return 0;
    method->at = (uint32_t)at;
    if (at & 1)
        return -1;
    while (at < length && method_is_token(bytes[at]))
        at++;
    method->length = (uint32_t)at - method->at;
    if (method->length > HTTP_MAX_METHOD)
        return -1;
    if (at == length)
        return 0;
    return bytes[at] == ' ' && method->length > 0 ? (int)at + 1 : -1;
}
