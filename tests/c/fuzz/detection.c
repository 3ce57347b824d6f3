/* For libFuzzer: first bytes are taken for one thing only, however few of them are there. What is decided about a
 * beginning is decided about all that follows it, and what a ClientHello says does not change any more. */
#include <stdlib.h>
#include <string.h>

#include "http/detect.h"
#include "http/frame.h"
#include "mutate.h"

enum { MOST = 1024, EACH_BYTE = 192 };

/* A list of names, each behind its length. */
static bool is_list(const struct hello *hello)
{
    size_t at = 0;

    while (at < hello->alpn_length && hello->alpn[at] != 0)
        at += 1 + (size_t)(unsigned char)hello->alpn[at];
    return at == hello->alpn_length;
}

static enum detected detected(const struct text *text, size_t length, struct hello *hello)
{
    char *copy = malloc(length + !length);

    memcpy(copy, text->bytes, length);
    const enum detected found = detect_client(copy, length, hello);
    free(copy);
    return found;
}

/* What the framing would serve must not get past as opaque: a server behind us may be asked by it. */
static bool is_request(const struct text *text)
{
    static struct http_head head;
    struct frame frame;
    size_t used;

    frame_requests(&frame);
    frame_lend(&frame, &head);
    return frame_pass(&frame, text->bytes, 0, text->length, &used) == FRAME_HEAD;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct text text;
    static struct hello hello, before;
    enum detected decided = DETECTED_NOTHING;

    if (length > MOST)
        return -1;
    text.length = length;
    memcpy(text.bytes, bytes, length);
    const size_t step = length <= EACH_BYTE ? 1 : length / 32 + 1;

    for (size_t at = 0; at <= length; at = at < length && at + step > length ? length : at + step) {
        const enum detected now = detected(&text, at, &hello);

        if (decided != DETECTED_NOTHING && now != decided)
            fail_on("detection", "decides otherwise about more bytes", &text);
        if (decided == DETECTED_TLS && memcmp(&hello, &before, sizeof hello) != 0)
            fail_on("detection", "other names with more bytes", &text);
        if (now == DETECTED_TLS && !is_list(&hello))
            fail_on("detection", "protocols that are no list", &text);
        decided = now;
        before = hello;
    }
    if (decided != DETECTED_HTTP1 && is_request(&text))
        fail_on("detection", "a request that is not taken for HTTP/1", &text);
    return 0;
}
