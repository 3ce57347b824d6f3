#include "route/heads/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/cookie.h"

enum { DIGITS = 16, LONGEST_TIME = 12 };

static int digit(char one)
{
    if (one >= '0' && one <= '9')
        return one - '0';
    return one >= 'a' && one <= 'f' ? one - 'a' + 10 : -1;
}

/* Digits up to `end` or a dot. Returns how many there are. */
static uint32_t number(const char *text, const char *end, uint64_t *value)
{
    uint32_t count = 0;
    *value = 0;
    for (; text + count < end && count <= DIGITS && digit(text[count]) >= 0; count++)
        *value = *value << 4 | (uint64_t)digit(text[count]);
    return count;
}

static bool parse(const char *text, uint32_t length, struct session_token *token)
{
    const char *end = text + length;
    if (number(text, end, &token->endpoint) != DIGITS)
        return false;
    text += DIGITS;
    if (text == end || *text++ != '.')
        return false;
    const uint32_t issued = number(text, end, &token->issued_s);
    text += issued;
    if (issued == 0 || issued > LONGEST_TIME || text == end || *text++ != '.')
        return false;
    const uint32_t used = number(text, end, &token->used_s);
    return used > 0 && used <= LONGEST_TIME && text + used == end;
}

static bool find(const struct tg_site *site, const tg_session *session, const struct http_head *head, const char *bytes,
                 struct span *value)
{
    const char *name = site_text(site, session->name);
    if (!session->header)
        return cookie_find(head, bytes, name, session->name.length, value);
    for (uint32_t i = 0; i < head->headers; i++) {
        *value = head->header[i].value;
        if (head->header[i].name.length == session->name.length &&
            strncasecmp(bytes + head->header[i].name.at, name, session->name.length) == 0)
            return true;
    }
    return false;
}

static uint64_t age(uint64_t since_s, uint64_t now_s)
{
    return now_s > since_s ? now_s - since_s : 0;
}

bool session_read(const struct tg_site *site, const tg_session *session, const struct http_head *head,
                  const char *bytes, uint64_t now_s, struct session_token *token)
{
    struct span value;
    if (!find(site, session, head, bytes, &value) || !parse(bytes + value.at, value.length, token))
        return false;
    return (session->absolute_s == 0 || age(token->issued_s, now_s) < session->absolute_s) &&
           (session->idle_s == 0 || age(token->used_s, now_s) < session->idle_s);
}

char *session_line(const struct tg_site *site, const tg_session *session, const struct session_token *token,
                   uint64_t now_s, uint32_t *length)
{
    const char *name = site_text(site, session->name);
    const char *path = site_text(site, session->path);
    char lives[40] = "";
    char *line;
    int written;
    if (session->permanent)
        snprintf(lives, sizeof lives, "; Max-Age=%" PRIu64, session->absolute_s - age(token->issued_s, now_s));
    if (session->header)
        written = asprintf(&line, "%.*s: %016" PRIx64 ".%" PRIx64 ".%" PRIx64 "\r\n", (int)session->name.length, name,
                           token->endpoint, token->issued_s, token->used_s);
    else
        written = asprintf(&line, "set-cookie: %.*s=%016" PRIx64 ".%" PRIx64 ".%" PRIx64 "%s%s%.*s; HttpOnly\r\n",
                           (int)session->name.length, name, token->endpoint, token->issued_s, token->used_s, lives,
                           session->path.length == 0 ? "" : "; Path=", (int)session->path.length, path);
    if (written < 0)
        return NULL;
    *length = (uint32_t)written;
    return line;
}
