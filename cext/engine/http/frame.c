#include "http/frame.h"

#include <string.h>
#include <strings.h>

#include "http/judge.h"
#include "http/method.h"

enum { AT_METHOD, AT_HEAD, AT_BODY, AT_FAILED };
enum { NO_HEADER, IN_NAME, BEHIND_NAME, IN_VALUE };

static struct frame *frame_of(llhttp_t *parser)
{
    return parser->data;
}

static int refuse(struct frame *frame, enum frame_refusal refusal)
{
    if (frame->refusal == REFUSED_NOT)
        frame->refusal = refusal;
    return -1;
}

static struct span span_of(const struct frame *frame, const char *at, size_t length)
{
    return (struct span){(uint32_t)(at - frame->base), (uint32_t)length};
}

/* A part of a head may come in pieces; its bytes are neighbours, or something between them was skipped. */
static int extend(struct frame *frame, struct span *span, const char *at, size_t length)
{
    if (span->length == 0)
        *span = span_of(frame, at, length);
    else if (frame->base + span->at + span->length == at)
        span->length += (uint32_t)length;
    else
        return refuse(frame, REFUSED_SYNTAX);
    return 0;
}

/* The parser skips spaces before target and version. One is what the grammar has; servers differ about more. */
static bool is_one_space_behind(const struct frame *frame, const struct span *before, const char *at)
{
    return at == frame->base + before->at + before->length + 1;
}

static int on_target(llhttp_t *parser, const char *at, size_t length)
{
    struct frame *frame = frame_of(parser);
    struct http_head *head = frame->head;

    if (head->target.length == 0 && !is_one_space_behind(frame, &head->method, at))
        return refuse(frame, REFUSED_SYNTAX);
    return extend(frame, &head->target, at, length);
}

static int on_reason(llhttp_t *parser, const char *at, size_t length)
{
    return extend(frame_of(parser), &frame_of(parser)->head->reason, at, length);
}

static int on_version(llhttp_t *parser, const char *at, size_t length)
{
    struct frame *frame = frame_of(parser);

    (void)length;
    if (parser->type == HTTP_REQUEST && !frame->has_version &&
        !is_one_space_behind(frame, &frame->head->target, at - strlen("HTTP/")))
        return refuse(frame, REFUSED_SYNTAX);
    frame->has_version = true;
    return 0;
}

static int on_header_name(llhttp_t *parser, const char *at, size_t length)
{
    struct frame *frame = frame_of(parser);
    struct http_head *head = frame->head;

    if (frame->state == AT_BODY)
        return 0; /* of a trailer */
    if (frame->part != IN_NAME) {
        if (head->headers == HTTP_MAX_HEADERS)
            return refuse(frame, REFUSED_HEAD_SIZE);
        head->header[head->headers++] = (struct header){0};
        frame->part = IN_NAME;
    }
    return extend(frame, &head->header[head->headers - 1].name, at, length);
}

static int on_header_name_end(llhttp_t *parser)
{
    frame_of(parser)->part = BEHIND_NAME;
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t length)
{
    struct frame *frame = frame_of(parser);

    if (frame->state == AT_BODY)
        return 0;
    frame->part = IN_VALUE;
    return extend(frame, &frame->head->header[frame->head->headers - 1].value, at, length);
}

static int on_header_value_end(llhttp_t *parser)
{
    frame_of(parser)->part = NO_HEADER;
    return 0;
}

static int on_head_end(llhttp_t *parser)
{
    struct frame *frame = frame_of(parser);
    enum frame_refusal refusal = judge_head(frame);

    if (refusal != REFUSED_NOT)
        return refuse(frame, refusal);
    frame->is_whole = true;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *parser, const char *at, size_t length)
{
    frame_of(parser)->payload_end = at + length;
    frame_of(parser)->body += length;
    return 0;
}

static int on_message_end(llhttp_t *parser)
{
    frame_of(parser)->has_ended = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t SETTINGS = {
    .on_url = on_target,
    .on_status = on_reason,
    .on_version = on_version,
    .on_header_field = on_header_name,
    .on_header_field_complete = on_header_name_end,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_end,
    .on_headers_complete = on_head_end,
    .on_body = on_body,
    .on_message_complete = on_message_end,
};

/* What belongs to one message only. */
static void begin(struct frame *frame)
{
    frame->head = NULL;
    frame->shape = HTTP_NO_BODY;
    frame->state = AT_METHOD;
    frame->part = NO_HEADER;
    frame->is_whole = frame->has_ended = frame->has_version = false;
    frame->seen = frame->extra = 0;
}

static void frame_init(struct frame *frame, llhttp_type_t type)
{
    memset(frame, 0, sizeof(*frame));
    llhttp_init(&frame->parser, type, &SETTINGS);
    frame->parser.data = frame;
    begin(frame);
}

void frame_requests(struct frame *frame)
{
    frame_init(frame, HTTP_REQUEST);
}

void frame_answers(struct frame *frame)
{
    frame_init(frame, HTTP_RESPONSE);
}

void frame_lend(struct frame *frame, struct http_head *head)
{
    memset(head, 0, offsetof(struct http_head, header));
    frame->head = head;
}

void frame_expect(struct frame *frame, bool to_head, bool to_connect)
{
    frame->answers_head = to_head;
    frame->answers_connect = to_connect;
}

bool frame_is_inside(const struct frame *frame)
{
    return frame->state != AT_METHOD || frame->seen > 0;
}

static enum frame_step failed(struct frame *frame, enum frame_refusal refusal)
{
    refuse(frame, refusal);
    frame->shape = HTTP_NO_BODY;
    frame->state = AT_FAILED;
    return FRAME_REFUSED;
}

static bool is_known_version(const llhttp_t *parser)
{
    return parser->http_major == 1 && parser->http_minor <= 1;
}

static enum frame_step failed_by(struct frame *frame, llhttp_errno_t error)
{
    switch (error) {
    case HPE_INVALID_VERSION:
        /* Also what follows a version that is known. */
        return failed(frame, is_known_version(&frame->parser) ? REFUSED_SYNTAX : REFUSED_VERSION);
    case HPE_UNEXPECTED_CONTENT_LENGTH:
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_INVALID_TRANSFER_ENCODING:
    case HPE_INVALID_CHUNK_SIZE:
        return failed(frame, REFUSED_FRAMING);
    case HPE_INVALID_EOF_STATE:
        return failed(frame, REFUSED_END);
    default:
        return failed(frame, REFUSED_SYNTAX);
    }
}

static llhttp_errno_t tell_method(struct frame *frame, const char *bytes)
{
    const struct span *method = &frame->head->method;
    bool connects = method->length == 7 && memcmp(bytes + method->at, "CONNECT", 7) == 0;
    const char *told = connects ? "CONNECT " : "GET ";

    return llhttp_execute(&frame->parser, told, strlen(told));
}

static size_t passed(struct frame *frame, llhttp_errno_t error, const char *from, size_t length)
{
    return error == HPE_OK ? length : (size_t)(llhttp_get_error_pos(&frame->parser) - from);
}

/* A request line that ends behind the target is HTTP/0.9, whose client waits for an answer at once. */
static bool is_old_request(const struct frame *frame, const char *bytes, size_t length)
{
    const struct span *target = &frame->head->target;
    size_t behind = target->at + target->length;

    return frame->parser.type == HTTP_REQUEST && !frame->has_version && target->length > 0 && behind < length &&
           (bytes[behind] == '\r' || bytes[behind] == '\n');
}

static enum frame_step pass_head(struct frame *frame, const char *bytes, size_t from, size_t length, size_t *used)
{
    size_t at = from;

    frame->base = bytes;
    if (frame->state == AT_METHOD) {
        frame->seen = (uint32_t)length;
        if (frame->parser.type == HTTP_REQUEST) {
            int taken = method_take(&frame->head->method, bytes, length);

            if (taken < 0)
                return failed(frame, REFUSED_SYNTAX);
            *used = length - from;
            if (taken == 0)
                return FRAME_MORE;
            if (tell_method(frame, bytes) != HPE_OK)
                return failed(frame, REFUSED_SYNTAX);
            at = (size_t)taken;
        }
        frame->state = AT_HEAD;
    }
    llhttp_errno_t error = llhttp_execute(&frame->parser, bytes + at, length - at);
    size_t end = at + passed(frame, error, bytes + at, length - at);

    if (frame->is_whole) {
        frame->state = AT_BODY;
        frame->body = 0;
        frame->shape = frame->head->body;
        frame->head->length = (uint32_t)end;
        frame->head = NULL;
        *used = end - from;
        return FRAME_HEAD;
    }
    if (is_old_request(frame, bytes, length))
        return failed(frame, REFUSED_SYNTAX);
    if (error != HPE_OK)
        return failed_by(frame, error);
    frame->seen = (uint32_t)length;
    *used = length - from;
    return FRAME_MORE;
}

static enum frame_step pass_body(struct frame *frame, const char *bytes, size_t length, size_t *used)
{
    frame->payload_end = NULL;
    llhttp_resume(&frame->parser);
    llhttp_errno_t error = llhttp_execute(&frame->parser, bytes, length);
    size_t end = passed(frame, error, bytes, length);

    *used = end;
    if (frame->has_ended) {
        bool tunnel = frame->parser.upgrade;

        if (!tunnel) {
            llhttp_resume(&frame->parser);
            begin(frame);
        }
        return tunnel ? FRAME_TUNNEL : FRAME_END;
    }
    if (error != HPE_OK)
        return failed_by(frame, error);
    if (frame->shape == HTTP_CHUNKED) {
        frame->extra =
            frame->payload_end ? (uint32_t)(bytes + length - frame->payload_end) : frame->extra + (uint32_t)length;
        if (frame->extra > HTTP_MAX_TRAILERS)
            return failed(frame, REFUSED_HEAD_SIZE);
    }
    return FRAME_BODY;
}

enum frame_step frame_pass(struct frame *frame, const char *bytes, size_t from, size_t length, size_t *used)
{
    *used = 0;
    if (frame->state == AT_FAILED)
        return FRAME_REFUSED;
    if (frame->state == AT_BODY)
        return pass_body(frame, bytes, length, used);
    return pass_head(frame, bytes, from, length, used);
}

enum frame_step frame_close(struct frame *frame)
{
    if (frame->state == AT_FAILED)
        return FRAME_REFUSED;
    if (!frame_is_inside(frame))
        return FRAME_END;
    if (frame->state != AT_BODY)
        return failed(frame, REFUSED_END);
    llhttp_resume(&frame->parser);
    llhttp_errno_t error = llhttp_finish(&frame->parser);

    if (!frame->has_ended)
        return failed_by(frame, error == HPE_OK ? HPE_INVALID_EOF_STATE : error);
    frame->state = AT_FAILED;
    frame->refusal = REFUSED_END;
    return FRAME_END;
}
