#include "http/judge.h"

#include <string.h>
#include <strings.h>

#include "http/method.h"

/* What the headers that frame a message say, all of them together. */
struct claims {
    unsigned lengths, codings, hosts;
    bool chunked;       /* is the last coding */
    bool chunked_early; /* stands before another one, or twice */
    bool unknown;       /* a coding other than chunked */
    bool malformed;     /* a length that is no number, a coding that is no token */
};

static bool is_named(const char *bytes, const struct header *header, const char *name)
{
    return header->name.length == strlen(name) && strncasecmp(bytes + header->name.at, name, header->name.length) == 0;
}

static bool is_space(char character)
{
    return character == ' ' || character == '\t';
}

static void trim(const char *bytes, struct span *span)
{
    while (span->length && is_space(bytes[span->at + span->length - 1]))
        span->length--;
    while (span->length && is_space(bytes[span->at])) {
        span->at++;
        span->length--;
    }
}

static bool is_number(const char *bytes, struct span value)
{
    for (uint32_t i = 0; i < value.length; i++)
        if (bytes[value.at + i] < '0' || bytes[value.at + i] > '9')
            return false;
    return value.length > 0;
}

static void take_coding(struct claims *claims, const char *bytes, struct span one)
{
    bool is_chunked = one.length == 7 && strncasecmp(bytes + one.at, "chunked", 7) == 0;

    for (uint32_t i = 0; i < one.length; i++)
        claims->malformed |= !method_is_token(bytes[one.at + i]);
    claims->malformed |= one.length == 0;
    claims->chunked_early |= claims->chunked;
    claims->unknown |= !is_chunked;
    claims->chunked = is_chunked;
}

static void take_codings(struct claims *claims, const char *bytes, struct span value)
{
    uint32_t begin = value.at, end = value.at + value.length;

    claims->codings++;
    for (uint32_t at = begin; at <= end; at++) {
        if (at < end && bytes[at] != ',')
            continue;
        struct span one = {begin, at - begin};

        trim(bytes, &one);
        take_coding(claims, bytes, one);
        begin = at + 1;
    }
}

static struct claims claims_of(const char *bytes, struct http_head *head)
{
    struct claims claims = {0};

    for (uint32_t i = 0; i < head->headers; i++) {
        struct header *header = &head->header[i];

        trim(bytes, &header->value);
        if (is_named(bytes, header, "content-length")) {
            claims.lengths++;
            claims.malformed |= !is_number(bytes, header->value);
        } else if (is_named(bytes, header, "transfer-encoding")) {
            take_codings(&claims, bytes, header->value);
        } else if (is_named(bytes, header, "host")) {
            claims.hosts++;
        } else if (is_named(bytes, header, "expect")) {
            head->expects = true;
        }
    }
    return claims;
}

/* RFC 9112, 6.1 to 6.3: what one recipient reads as one message and another as two. The parser refuses most of it
 * already; it stands here so that no newer parser can take what this one refuses. */
static enum frame_refusal judge_length(const struct claims *claims, const struct http_head *head)
{
    if (claims->malformed || claims->chunked_early || claims->lengths > 1)
        return REFUSED_FRAMING;
    if (claims->codings && (claims->lengths || head->minor == 0))
        return REFUSED_FRAMING;
    return claims->unknown ? REFUSED_CODING : REFUSED_NOT;
}

static enum frame_refusal judge_request(struct frame *frame, const struct claims *claims)
{
    struct http_head *head = frame->head;
    llhttp_t *parser = &frame->parser;

    /* An upgrade or a tunnel is what the answer makes of it: until then this is a request like any other. */
    parser->upgrade = 0;
    if (claims->hosts > 1)
        return REFUSED_FRAMING;
    if (parser->method == HTTP_CONNECT && (claims->codings || parser->content_length))
        return REFUSED_FRAMING;
    head->body = claims->codings ? HTTP_CHUNKED : parser->content_length ? HTTP_LENGTH : HTTP_NO_BODY;
    return REFUSED_NOT;
}

static enum frame_refusal judge_answer(struct frame *frame, const struct claims *claims)
{
    struct http_head *head = frame->head;
    llhttp_t *parser = &frame->parser;
    bool informs = head->status / 100 == 1;

    if (head->status < 100)
        return REFUSED_SYNTAX;
    /* These can have no body, so bytes behind them would be another answer for some recipients. */
    if ((informs || head->status == 204) && (claims->codings || parser->content_length))
        return REFUSED_FRAMING;
    if (frame->answers_connect && head->status / 100 == 2) {
        parser->upgrade = 1;
        parser->flags |= F_SKIPBODY;
    } else if (frame->answers_head) {
        parser->flags |= F_SKIPBODY;
    }
    if (informs || head->status == 204 || head->status == 304 || parser->flags & F_SKIPBODY)
        head->body = HTTP_NO_BODY;
    else if (claims->codings)
        head->body = HTTP_CHUNKED;
    else
        head->body = claims->lengths ? (parser->content_length ? HTTP_LENGTH : HTTP_NO_BODY) : HTTP_UNTIL_CLOSE;
    return REFUSED_NOT;
}

enum frame_refusal judge_head(struct frame *frame)
{
    struct http_head *head = frame->head;
    llhttp_t *parser = &frame->parser;

    if (!frame->has_version)
        return REFUSED_SYNTAX; /* HTTP/0.9 with headers, which it does not have */
    if (parser->http_major != 1)
        return REFUSED_VERSION;
    head->minor = parser->http_minor;
    head->status = parser->type == HTTP_RESPONSE ? parser->status_code : 0;
    head->content_length = parser->content_length;

    struct claims claims = claims_of(frame->base, head);
    enum frame_refusal refusal = judge_length(&claims, head);

    if (refusal == REFUSED_NOT)
        refusal = parser->type == HTTP_REQUEST ? judge_request(frame, &claims) : judge_answer(frame, &claims);
    head->upgrade = (parser->flags & (F_UPGRADE | F_CONNECTION_UPGRADE)) == (F_UPGRADE | F_CONNECTION_UPGRADE);
    head->keep_alive = head->body != HTTP_UNTIL_CLOSE && llhttp_should_keep_alive(parser);
    return refusal;
}
