/* A TLS ClientHello, as far as it tells where a connection is meant to go. Nothing is decrypted and nothing is kept. */
#ifndef TG_HTTP_HELLO_H
#define TG_HTTP_HELLO_H

#include <stddef.h>
#include <stdint.h>

enum {
    HELLO_MAX_NAME = 255,
    HELLO_MAX_ALPN = 255,
};

/* Copies, because a ClientHello may be cut into several records at any byte. */
struct hello {
    uint8_t server_name_length; /* 0: there is no server name */
    uint8_t alpn_length;        /* 0: there is no ALPN */
    char server_name[255];      /* printable ASCII, in the case that it came in */
    char alpn[255]; /* protocol names, each behind a byte with its length; any bytes. What doesn't fit is left
                       out, name by name */
};

enum hello_step {
    HELLO_MORE, /* the beginning of a ClientHello, or no byte at all */
    HELLO_WHOLE,
    HELLO_NONE /* no ClientHello, or a broken one: RFC 8446, section 4.1.2; RFC 6066, section 3; RFC 7301, section 3.1
                */
};

/* Reads from the first byte of a connection on. *hello is whole with HELLO_WHOLE, and empty or partly filled else. */
enum hello_step hello_read(struct hello *hello, const char *bytes, size_t length);

#endif
