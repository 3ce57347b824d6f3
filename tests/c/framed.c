#include "framed.h"

#include <stdlib.h>
#include <string.h>

static void mix(struct outcome *outcome, uint64_t value)
{
    outcome->mixed = (outcome->mixed ^ value) * 0x100000001b3u;
}

static void mix_head(struct outcome *outcome, const struct http_head *head, const struct text *text)
{
    mix(outcome, head->length);
    mix(outcome, head->body);
    mix(outcome, head->content_length);
    mix(outcome, head->headers);
    for (uint32_t i = 0; i < head->headers; i++) {
        const struct header *one = &head->header[i];

        if ((uint64_t)one->name.at + one->name.length > head->length ||
            (uint64_t)one->value.at + one->value.length > head->length)
            fail_on("framed", "a header beyond its head", text);
        mix(outcome, ((uint64_t)one->name.at << 32) ^ one->value.at);
        mix(outcome, ((uint64_t)one->name.length << 32) ^ one->value.length);
    }
}

struct outcome framed(const struct text *text, struct framed_as as, const size_t *cuts, size_t count)
{
    struct frame frame;
    struct http_head *head = malloc(sizeof(*head));
    struct outcome outcome = {0};
    size_t message = 0, at = 0; /* where the message began whose head is read; what has been passed */
    bool in_head = true;

    as.answers ? frame_answers(&frame) : frame_requests(&frame);
    if (as.answers)
        frame_expect(&frame, as.to_head, as.to_connect);
    frame_lend(&frame, head);
    for (size_t i = 0; i <= count; i++) {
        size_t end = i < count ? cuts[i] : text->length;

        for (;;) {
            size_t from = in_head ? message : at, used;

            if (in_head && at == end)
                break;
            char *copy = malloc(end - from + !(end - from));

            memcpy(copy, text->bytes + from, end - from);
            enum frame_step step = frame_pass(&frame, copy, at - from, end - from, &used);

            free(copy);
            if (used > end - at)
                fail_on("framed", "more used than given", text);
            at += used;
            if (step == FRAME_REFUSED || step == FRAME_TUNNEL) {
                outcome.refusal = frame.refusal;
                mix(&outcome, step == FRAME_TUNNEL ? at : 0);
                free(head);
                return outcome;
            }
            if (step == FRAME_HEAD) {
                mix_head(&outcome, head, text);
                in_head = false;
                continue;
            }
            if (step == FRAME_END) {
                mix(&outcome, at);
                in_head = true;
                message = at;
                frame_lend(&frame, head);
                continue;
            }
            if (at != end)
                fail_on("framed", "bytes that no step took", text);
            break;
        }
    }
    enum frame_step step = frame_close(&frame);

    mix(&outcome, step);
    outcome.refusal = frame.refusal;
    free(head);
    return outcome;
}
