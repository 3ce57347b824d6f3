#include "route/heads/lines.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_named(const struct line *line, struct text_part name)
{
    return line->name.at != NULL && line->name.length == name.length &&
           strncasecmp(line->name.at, name.at, name.length) == 0;
}

void lines_of(struct lines *lines, const struct http_head *head, const char *bytes)
{
    lines->count = 0;
    lines->full = false;
    for (uint32_t i = 0; i < head->headers; i++) {
        const struct header *one = &head->header[i];
        const uint32_t end = i + 1 < head->headers ? head->header[i + 1].name.at : head->length - 2;

        lines->all[lines->count++] = (struct line){
            {bytes + one->name.at, one->name.length},
            {bytes + one->value.at, one->value.length},
            {bytes + one->name.at, end - one->name.at},
        };
    }
}

void lines_add(struct lines *lines, struct text_part name, struct text_part value)
{
    if (lines->count == LINES_MOST) {
        lines->full = true;
        return;
    }
    lines->all[lines->count++] = (struct line){name, value, {NULL, 0}};
}

void lines_set(struct lines *lines, struct text_part name, struct text_part value)
{
    bool is_set = false;

    for (uint32_t i = 0; i < lines->count; i++) {
        if (!is_named(&lines->all[i], name))
            continue;
        lines->all[i] = is_set ? (struct line){0} : (struct line){name, value, {NULL, 0}};
        is_set = true;
    }
    if (!is_set)
        lines_add(lines, name, value);
}

void lines_remove(struct lines *lines, struct text_part name)
{
    for (uint32_t i = 0; i < lines->count; i++)
        if (is_named(&lines->all[i], name))
            lines->all[i] = (struct line){0};
}

void lines_edit(struct lines *lines, const struct tg_site *site, tg_range edits)
{
    static const int32_t ORDER[] = {TG_REMOVE, TG_SET, TG_ADD};

    for (size_t pass = 0; pass < sizeof ORDER / sizeof *ORDER; pass++) {
        for (uint32_t i = edits.first; i < edits.first + edits.count; i++) {
            const tg_edit *one = &site->spec.edits[i];
            const struct text_part name = text_of_piece(site, one->name), value = text_of_piece(site, one->value);

            if (one->how != ORDER[pass])
                continue;
            if (one->how == TG_REMOVE)
                lines_remove(lines, name);
            else if (one->how == TG_SET)
                lines_set(lines, name, value);
            else
                lines_add(lines, name, value);
        }
    }
}

void write_bytes(struct writer *writer, const char *bytes, size_t length)
{
    if (writer->room - writer->length < length) {
        writer->full = true;
        return;
    }
    if (length > 0)
        memcpy(writer->out + writer->length, bytes, length);
    writer->length += length;
}

void write_text(struct writer *writer, const char *text)
{
    write_bytes(writer, text, strlen(text));
}

void write_number(struct writer *writer, uint64_t number)
{
    char digits[24];

    write_bytes(writer, digits, (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)number));
}

void write_lines(struct writer *writer, const struct lines *lines)
{
    for (uint32_t i = 0; i < lines->count; i++) {
        const struct line *one = &lines->all[i];

        if (one->raw.at != NULL) {
            write_bytes(writer, one->raw.at, one->raw.length);
        } else if (one->name.at != NULL) {
            write_bytes(writer, one->name.at, one->name.length);
            write_text(writer, ": ");
            write_bytes(writer, one->value.at, one->value.length);
            write_text(writer, "\r\n");
        }
    }
    write_text(writer, "\r\n");
    writer->full |= lines->full;
}

int64_t write_end(const struct writer *writer)
{
    return writer->full ? -1 : (int64_t)writer->length;
}

struct text_part text_of(const char *text)
{
    return (struct text_part){text, (uint32_t)strlen(text)};
}

struct text_part text_of_piece(const struct tg_site *site, tg_piece piece)
{
    return (struct text_part){site_text(site, piece), piece.length};
}

struct text_part head_value(const struct http_head *head, const char *bytes, const char *name)
{
    const size_t length = strlen(name);

    for (uint32_t i = 0; i < head->headers; i++) {
        const struct header *one = &head->header[i];
        if (one->name.length == length && strncasecmp(bytes + one->name.at, name, length) == 0)
            return (struct text_part){bytes + one->value.at, one->value.length};
    }
    return (struct text_part){NULL, 0};
}
