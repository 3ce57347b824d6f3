/* A message's head, as places in the bytes that it came in. */
#ifndef TG_HTTP_HEAD_H
#define TG_HTTP_HEAD_H

#include <stdbool.h>
#include <stdint.h>

enum { HTTP_MAX_HEADERS = 512 };

/* From `at` on, counted from the first byte of the head; `length` may be 0. */
struct span {
    uint32_t at;
    uint32_t length;
};

struct header {
    struct span name;
    struct span value; /* without white space around it */
};

enum http_body {
    HTTP_NO_BODY,
    HTTP_LENGTH,     /* `content_length` bytes */
    HTTP_CHUNKED,    /* chunks, and perhaps trailers */
    HTTP_UNTIL_CLOSE /* of answers only */
};

/* Of a request method and target are set, of an answer status and reason. Headers beyond HTTP_MAX_HEADERS are refused,
 * so these are all. */
struct http_head {
    uint32_t length; /* of the whole head, the empty line included */
    struct span method;
    struct span target;
    struct span reason;
    uint16_t status;
    uint8_t minor;   /* HTTP/1.minor */
    bool keep_alive; /* what the head says about the connection after this message */
    bool expects;    /* "Expect" stands in it */
    bool upgrade;    /* "Upgrade" and "Connection: upgrade" stand in it */
    enum http_body body;
    uint64_t content_length;
    uint32_t headers;
    struct header header[HTTP_MAX_HEADERS];
};

#endif
