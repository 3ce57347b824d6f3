#include "exchange/rules/parting.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/head_line.h"
#include "state.h"

static const char NAME[] = "connection:";
static const char LINE[] = "connection: close\r\n";
static const char CLOSE[] = "close";
static const char KEEP[] = "keep-alive";

/* The value of the head's Connection line, without white space around it. `at` is NULL: there is no such line. */
struct value {
    const char *at;
    size_t length;
};

static struct value connection_value(const char *head, size_t length)
{
    const char *end = head + length;
    for (const char *line = head; line < end;) {
        const char *feed = memchr(line, '\n', (size_t)(end - line));
        const char *last = feed == NULL ? end : feed;
        if ((size_t)(last - line) >= sizeof NAME - 1 && strncasecmp(line, NAME, sizeof NAME - 1) == 0) {
            const char *from = line + sizeof NAME - 1;
            while (from < last && (*from == ' ' || *from == '\t'))
                from++;
            while (last > from && (last[-1] == ' ' || last[-1] == '\t' || last[-1] == '\r'))
                last--;
            return (struct value){.at = from, .length = (size_t)(last - from)};
        }
        line = feed == NULL ? end : feed + 1;
    }
    return (struct value){0};
}

/* "close" in the place of "keep-alive". NULL: no memory. */
static struct tg_buffer *with_close(const char *head, size_t length, struct value value)
{
    const size_t before = (size_t)(value.at - head), after = length - before - value.length;
    const size_t size = before + sizeof CLOSE - 1 + after;
    struct tg_buffer *buffer = malloc(sizeof *buffer + size);
    if (buffer == NULL)
        return NULL;
    *buffer = (struct tg_buffer){.size = size, .end = size};
    memcpy(buffer->data, head, before);
    memcpy(buffer->data + before, CLOSE, sizeof CLOSE - 1);
    memcpy(buffer->data + before + sizeof CLOSE - 1, value.at + value.length, after);
    return buffer;
}

struct tg_buffer *parting_head(const struct tg_engine *engine, struct tg_talk *talk, const struct http_head *head,
                               const char *bytes, struct tg_buffer *edited)
{
    if (!atomic_load_explicit(&engine->draining, memory_order_relaxed) &&
        !atomic_load_explicit(&engine->parting, memory_order_relaxed))
        return edited;
    if (!head->keep_alive || !talk->exchange.keeps_alive || flow_owes(&talk->flow[UPSTREAM]))
        return edited;
    const char *text = edited == NULL ? bytes : (const char *)edited->data;
    const size_t length = edited == NULL ? head->length : edited->end;
    const struct value value = connection_value(text, length);
    struct tg_buffer *parting = NULL;
    if (value.at == NULL)
        parting = head_with_line(text, length, LINE, sizeof LINE - 1);
    else if (value.length == sizeof KEEP - 1 && strncasecmp(value.at, KEEP, sizeof KEEP - 1) == 0)
        parting = with_close(text, length, value);
    if (parting == NULL)
        return edited;
    free(edited);
    talk->is_closing = true;
    return parting;
}
