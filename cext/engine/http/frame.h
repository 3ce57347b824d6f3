/* Framing of HTTP/1: where heads, bodies and messages end in a stream of bytes. Sees bytes, touches no socket, keeps no
 * byte. What a recipient could understand in two ways is refused, never repaired (RFC 9112, sections 6 and 11).
 *
 * The caller keeps the bytes of a head together until it is whole, and passes each byte once. Bodies need not be kept.
 */
#ifndef TG_HTTP_FRAME_H
#define TG_HTTP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/head.h"
#include "http/llhttp/llhttp.h"

enum {
    HTTP_MAX_TRAILERS = 64 * 1024, /* bytes of all trailers of a message, and of all extensions of its chunks */
};

enum frame_step {
    FRAME_MORE,   /* all bytes belong to the head, which is not whole yet */
    FRAME_HEAD,   /* the head is whole: `head` tells of it. Later bytes have not been looked at */
    FRAME_BODY,   /* the bytes belong to the message */
    FRAME_END,    /* the message ends with these bytes (which may be none). The next one begins behind them */
    FRAME_TUNNEL, /* the message ends here, and what follows is no HTTP any more */
    FRAME_REFUSED /* `refusal` says why. Nothing more can be framed */
};

enum frame_refusal {
    REFUSED_NOT,
    REFUSED_SYNTAX,    /* no HTTP/1 at all, or not as the grammar has it: 400 */
    REFUSED_FRAMING,   /* its length is ambiguous: 400 */
    REFUSED_CODING,    /* a transfer coding other than chunked: 501 */
    REFUSED_VERSION,   /* HTTP, but not 1.0 or 1.1: 505 */
    REFUSED_HEAD_SIZE, /* more headers, or longer trailers, than are taken: 431 */
    REFUSED_END        /* the stream ended within a message */
};

struct frame {
    llhttp_t parser;
    struct http_head *head;
    const char *base;        /* of the head's bytes, during one call */
    const char *payload_end; /* of the last body bytes, during one call */
    uint32_t seen;           /* bytes of the head passed so far */
    uint64_t body;  /* bytes of the body, of the message whose head was whole last; chunks' sizes not counted */
    uint32_t extra; /* bytes passed since the last one of the body: chunk framing, trailers */
    uint8_t state, part;
    bool is_whole, has_ended, has_version;
    enum http_body shape; /* of the message whose body is being passed */
    bool answers_head, answers_connect;
    enum frame_refusal refusal;
};

/* For requests, or for answers. */
void frame_requests(struct frame *frame);
void frame_answers(struct frame *frame);

/* Lends memory for the next head, which is large and needed for a short time only. To be called before the first byte
 * of each message. It is written until FRAME_HEAD, and not touched after. */
void frame_lend(struct frame *frame, struct http_head *head);

/* Which request the next answer is for: an answer to HEAD has no body, one of 2xx to CONNECT opens a tunnel. To be
 * called before the first byte of each final answer; holds for the informational ones before it too. */
void frame_expect(struct frame *frame, bool to_head, bool to_connect);

/* Passes bytes. While a head is being read, `bytes` are all bytes of it so far and `from` of them have been passed
 * before; after FRAME_HEAD `from` is 0. *used: how many bytes behind `from` the step is about. */
enum frame_step frame_pass(struct frame *frame, const char *bytes, size_t from, size_t length, size_t *used);

/* The stream has ended. FRAME_END: so has the message, by that or before; FRAME_REFUSED: it was cut short. */
enum frame_step frame_close(struct frame *frame);

/* Whether a byte of a message has been passed whose end has not. */
bool frame_is_inside(const struct frame *frame);

#endif
