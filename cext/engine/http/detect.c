#include "http/detect.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "http/method.h"

static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
static const char VERSION[] = "HTTP/";

enum { PREFACE_LENGTH = sizeof PREFACE - 1, VERSION_LENGTH = sizeof VERSION - 1 };

static bool is_space(char character)
{
    return memchr(" \t\v\f\r\n", character, 6) != NULL;
}

/* Upper and lower case are the same here: a server may be as lenient. */
static bool is_version(const char *word, size_t length)
{
    return length >= VERSION_LENGTH && strncasecmp(word, VERSION, VERSION_LENGTH) == 0;
}

/* A request line is a token, a space, and anything whose last word is a version of HTTP. Lenient servers skip more
 * white space before it than the framing allows, take any white space for a space, and a carriage return alone for a
 * line end. What they would serve must not get past as opaque, so it counts as HTTP here, and the framing refuses it.
 */
static enum detected detect_request(const char *bytes, size_t length)
{
    size_t begin = 0;
    size_t at;

    while (begin < length && is_space(bytes[begin]))
        begin++;
    for (at = begin; at < length && method_is_token(bytes[at]) && at - begin <= HTTP_MAX_METHOD;)
        at++;
    if (at - begin > HTTP_MAX_METHOD || (at < length && (at == begin || !is_space(bytes[at]))))
        return DETECTED_OPAQUE;
    size_t word = at;
    size_t word_end = at;
    for (; at < length; at++) {
        if (!is_space(bytes[at])) {
            word = word_end == at ? word : at;
            word_end = at + 1;
        } else if ((bytes[at] == '\r' || bytes[at] == '\n') && is_version(bytes + word, word_end - word)) {
            return DETECTED_HTTP1;
        } else if (bytes[at] == '\n') {
            return DETECTED_OPAQUE;
        }
    }
    return DETECTED_NOTHING;
}

enum detected detect_client(const char *bytes, size_t length, struct hello *hello)
{
    const size_t seen = length < DETECT_MAX ? length : DETECT_MAX;
    enum detected found = DETECTED_NOTHING;

    switch (hello_read(hello, bytes, seen)) {
    case HELLO_WHOLE:
        return DETECTED_TLS;
    case HELLO_MORE:
        break;
    case HELLO_NONE:
        if (memcmp(bytes, PREFACE, seen < PREFACE_LENGTH ? seen : PREFACE_LENGTH) != 0)
            found = detect_request(bytes, seen);
        else if (seen >= PREFACE_LENGTH)
            found = DETECTED_HTTP2;
        break;
    }
    return found == DETECTED_NOTHING && seen == DETECT_MAX ? DETECTED_OPAQUE : found;
}
