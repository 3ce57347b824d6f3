/* What the first bytes of a connection's client say about its protocol. A pure function of the bytes: the caller keeps
 * them together, asks again when more have come, and decides how long it waits.
 *
 * What a server says first is not looked at here: a server that speaks before its client makes a connection opaque. */
#ifndef TG_HTTP_DETECT_H
#define TG_HTTP_DETECT_H

#include <stddef.h>

#include "http/hello.h"

enum {
    DETECT_MAX = 64 * 1024, /* bytes that are looked at; what is undecided then is opaque */
};

enum detected {
    DETECTED_NOTHING, /* the bytes are the beginning of more than one of these */
    DETECTED_HTTP1,   /* a request line of HTTP/1, or one that a lenient server may take for it. frame.h judges it */
    DETECTED_HTTP2,   /* the client's whole connection preface, by prior knowledge */
    DETECTED_TLS,     /* a whole ClientHello: *hello tells of it */
    DETECTED_OPAQUE   /* anything else */
};

/* Looks at all bytes that have come so far, from the first one on. Any answer but DETECTED_NOTHING is final: more bytes
 * do not change it. *hello is written in any case, and means something with DETECTED_TLS only. */
enum detected detect_client(const char *bytes, size_t length, struct hello *hello);

#endif
