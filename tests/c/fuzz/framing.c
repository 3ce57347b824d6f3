/* For libFuzzer: a stream of HTTP/1 messages is framed alike however it is cut. What begins with "HTTP" is taken for
 * answers, to GET, to HEAD and to CONNECT; anything else for requests. */
#include <string.h>

#include "framed.h"

enum { MOST = 2048, EACH_BYTE = 256 };

static void compare(const struct text *text, struct framed_as as)
{
    static size_t cuts[MOST];
    const struct outcome whole = framed(text, as, NULL, 0);
    /* Byte by byte costs the square of the length, so long streams are cut in a few places. */
    const size_t step = text->length <= EACH_BYTE ? 1 : text->length / 16 + 1;
    size_t count = 0;

    for (size_t at = step; at < text->length; at += step)
        cuts[count++] = at;
    const struct outcome cut = framed(text, as, cuts, count);
    if (whole.mixed != cut.mixed || whole.refusal != cut.refusal)
        fail_on("framing", "framed otherwise when cut", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct text text;

    if (length > MOST)
        return -1;
    text.length = length;
    memcpy(text.bytes, bytes, length);
    if (length < 4 || memcmp(bytes, "HTTP", 4) != 0) {
        compare(&text, (struct framed_as){0});
        return 0;
    }
    compare(&text, (struct framed_as){.answers = true});
    compare(&text, (struct framed_as){.answers = true, .to_head = true});
    compare(&text, (struct framed_as){.answers = true, .to_connect = true});
    return 0;
}
