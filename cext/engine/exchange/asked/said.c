#include "exchange/asked/said.h"

#include <string.h>
#include <strings.h>

#include "exchange/asked/told.h"

static bool is_text(const char *bytes, struct span span, const char *text)
{
    return span.length == strlen(text) && memcmp(bytes + span.at, text, span.length) == 0;
}

static bool is_idempotent(const char *bytes, struct span method)
{
    static const char *const METHODS[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};
    for (size_t i = 0; i < sizeof METHODS / sizeof *METHODS; i++)
        if (is_text(bytes, method, METHODS[i]))
            return true;
    return false;
}

static bool is_named(const char *bytes, const struct header *header, const char *name)
{
    return strncasecmp(bytes + header->name.at, name, header->name.length) == 0;
}

/* Schemes that log the connection in rather than the request. */
static bool binds_connection(const char *bytes, struct span value)
{
    return (value.length >= 4 && strncasecmp(bytes + value.at, "NTLM", 4) == 0) ||
           (value.length >= 9 && strncasecmp(bytes + value.at, "Negotiate", 9) == 0);
}

/* Whether a deadline may have come. */
static bool read_headers(struct tg_talk *talk, const struct http_head *head, const char *bytes)
{
    bool may_be_told = false;
    for (uint32_t i = 0; i < head->headers; i++) {
        const struct header *header = &head->header[i];
        if (header->name.length == 4 && is_named(bytes, header, "host"))
            talk->exchange.authority = header->value;
        else if (header->name.length == 13 && is_named(bytes, header, "authorization"))
            talk->is_pinned = talk->is_pinned || binds_connection(bytes, header->value);
        else if (header->name.length == 15 && is_named(bytes, header, "idempotency-key"))
            talk->exchange.idempotent = true;
        else if (told_may_be(bytes + header->name.at, header->name.length))
            may_be_told = true;
    }
    return may_be_told;
}

bool said_note(struct tg_talk *talk, const struct http_head *head, const char *bytes)
{
    struct tg_exchange *exchange = &talk->exchange;
    exchange->minor = head->minor;
    exchange->keeps_alive = head->keep_alive;
    exchange->upgrades = head->upgrade;
    exchange->to_head = is_text(bytes, head->method, "HEAD");
    exchange->to_connect = is_text(bytes, head->method, "CONNECT");
    exchange->idempotent = is_idempotent(bytes, head->method);
    exchange->has_body = head->body != HTTP_NO_BODY;
    exchange->method = head->method;
    exchange->target = head->target;
    exchange->head_length = head->length;
    return read_headers(talk, head, bytes);
}
