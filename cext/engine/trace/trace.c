#include "trace/trace.h"

#include <string.h>
#include <strings.h>

static const char digits[] = "0123456789abcdef";

struct text {
    const char *at;
    uint32_t length;
    uint32_t place; /* in the head */
    unsigned count; /* how many such headers there are */
};

enum which { TRACEPARENT, B3, TRACE_ID, SPAN_ID, SAMPLED, FLAGS, WHICH };
static const char *const names[WHICH] = {"traceparent", "b3",           "x-b3-traceid",
                                         "x-b3-spanid", "x-b3-sampled", "x-b3-flags"};

static void note(struct text texts[WHICH], const struct header *header, const char *bytes)
{
    for (int i = 0; i < WHICH; i++) {
        if (strlen(names[i]) != header->name.length ||
            strncasecmp(names[i], bytes + header->name.at, header->name.length) != 0)
            continue;
        texts[i].at = bytes + header->value.at;
        texts[i].length = header->value.length;
        texts[i].place = header->value.at;
        texts[i].count++;
    }
}

/* Lower case only, as both formats want it. False: it is no hexadecimal number of so many bytes. */
static bool read_hex(const char *text, size_t bytes, uint8_t *out)
{
    for (size_t i = 0; i < 2 * bytes; i++) {
        const char *digit = text[i] == '\0' ? NULL : strchr(digits, text[i]);
        if (digit == NULL)
            return false;
        const uint8_t value = (uint8_t)(digit - digits);
        out[i / 2] = (uint8_t)(i % 2 == 0 ? value << 4 : out[i / 2] | value);
    }
    return true;
}

static bool is_zero(const uint8_t *id, size_t length)
{
    while (length > 0)
        if (id[--length] != 0)
            return false;
    return true;
}

static bool is_one(const struct text *text, const char *value)
{
    return text->count == 1 && text->length == strlen(value) && memcmp(text->at, value, text->length) == 0;
}

static bool read_w3c(const struct text *text, struct trace *trace)
{
    uint8_t version, flags;
    const char *at = text->at;
    if (text->count != 1 || text->length < 55 || at[2] != '-' || at[35] != '-' || at[52] != '-')
        return false;
    if (!read_hex(at, 1, &version) || !read_hex(at + 3, 16, trace->trace_id) ||
        !read_hex(at + 36, 8, trace->parent_id) || !read_hex(at + 53, 1, &flags))
        return false;
    if (version == 0xff || (text->length > 55 && (version == 0 || at[55] != '-')))
        return false;
    trace->is_sampled = (flags & 1) != 0;
    return !is_zero(trace->trace_id, 16) && !is_zero(trace->parent_id, 8);
}

/* Of 16 or of 8 bytes; the latter is filled up with zeros. */
static bool read_trace_id(const char *text, size_t length, struct trace *trace)
{
    memset(trace->trace_id, 0, sizeof trace->trace_id);
    return length == 32 ? read_hex(text, 16, trace->trace_id) : length == 16 && read_hex(text, 8, trace->trace_id + 8);
}

static bool read_b3(const struct text *text, struct trace *trace, uint32_t *parent)
{
    uint8_t ignored[8];
    const char *dash = text->count == 1 ? memchr(text->at, '-', text->length) : NULL;
    if (dash == NULL || !read_trace_id(text->at, (size_t)(dash - text->at), trace))
        return false;
    const char *at = dash + 1;
    const size_t left = text->length - (size_t)(at - text->at);
    /* The span; then a decision; then a parent. */
    if (left != 16 && left != 18 && left != 35)
        return false;
    if (!read_hex(at, 8, trace->parent_id))
        return false;
    if (left > 16 && (at[16] != '-' || (at[17] != '0' && at[17] != '1' && at[17] != 'd')))
        return false;
    if (left > 18 && (at[18] != '-' || !read_hex(at + 19, 8, ignored)))
        return false;
    trace->is_sampled = left > 16 && at[17] != '0';
    *parent = text->place + (uint32_t)(at - text->at);
    return !is_zero(trace->trace_id, 16) && !is_zero(trace->parent_id, 8);
}

static bool read_b3_headers(const struct text texts[WHICH], struct trace *trace)
{
    const struct text *id = &texts[TRACE_ID], *span = &texts[SPAN_ID];
    if (id->count != 1 || span->count != 1 || span->length != 16 || !read_trace_id(id->at, id->length, trace) ||
        !read_hex(span->at, 8, trace->parent_id))
        return false;
    trace->is_sampled = is_one(&texts[SAMPLED], "1") || is_one(&texts[SAMPLED], "true") || is_one(&texts[FLAGS], "1");
    return !is_zero(trace->trace_id, 16) && !is_zero(trace->parent_id, 8);
}

/* The first one found is the request's; all that are valid are continued. */
static void found(struct trace *trace, const struct trace *one, uint32_t place)
{
    if (!trace->is_known) {
        trace->is_known = true;
        trace->is_sampled = one->is_sampled;
        memcpy(trace->trace_id, one->trace_id, sizeof trace->trace_id);
        memcpy(trace->parent_id, one->parent_id, sizeof trace->parent_id);
    }
    trace->place[trace->places++] = place;
}

void trace_find(const struct http_head *head, const char *bytes, struct trace *trace)
{
    struct text texts[WHICH] = {0};
    struct trace one = {0};
    uint32_t place;
    *trace = (struct trace){0};
    for (uint32_t i = 0; i < head->headers; i++) {
        const char first = head->header[i].name.length == 0 ? '\0' : bytes[head->header[i].name.at];
        if (first == 't' || first == 'T' || first == 'b' || first == 'B' || first == 'x' || first == 'X')
            note(texts, &head->header[i], bytes);
    }
    if (read_w3c(&texts[TRACEPARENT], &one))
        found(trace, &one, texts[TRACEPARENT].place + 36);
    if (read_b3(&texts[B3], &one, &place))
        found(trace, &one, place);
    if (read_b3_headers(texts, &one))
        found(trace, &one, texts[SPAN_ID].place);
}

static char *write_hex(char *at, const uint8_t *id, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        *at++ = digits[id[i] >> 4];
        *at++ = digits[id[i] & 15];
    }
    return at;
}

void trace_continue(const struct trace *trace, char *bytes, const uint8_t span_id[8])
{
    for (uint32_t i = 0; i < trace->places; i++)
        write_hex(bytes + trace->place[i], span_id, 8);
}

void trace_line(char *out, const uint8_t trace_id[16], const uint8_t span_id[8], bool is_sampled)
{
    static const char begin[] = "traceparent: 00-";
    memcpy(out, begin, sizeof begin - 1);
    char *at = write_hex(out + sizeof begin - 1, trace_id, 16);
    *at++ = '-';
    at = write_hex(at, span_id, 8);
    memcpy(at, is_sampled ? "-01\r\n" : "-00\r\n", 5);
}
