/* The header lines of a head that is being edited. Lines that no edit names stay as they came, byte for byte. */
#ifndef TG_ROUTE_LINES_H
#define TG_ROUTE_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/head.h"
#include "route/path.h"
#include "route/site.h"

enum { LINES_MOST = HTTP_MAX_HEADERS + 4 * TG_MAX_EDITS };

/* raw: the whole line with its end, as it came; raw.at is NULL for one of ours. A line without a name is gone. */
struct line {
    struct text_part name;
    struct text_part value;
    struct text_part raw;
};

struct lines {
    uint32_t count;
    bool full; /* a line found no room: what would be written is not whole */
    struct line all[LINES_MOST];
};

/* Bytes that are put one behind the other. */
struct writer {
    char *out;
    size_t room;
    size_t length;
    bool full;
};

void lines_of(struct lines *lines, const struct http_head *head, const char *bytes);
/* The three kinds of edits. A name that is set takes the place of the first of its name, and the others go. */
void lines_set(struct lines *lines, struct text_part name, struct text_part value);
void lines_add(struct lines *lines, struct text_part name, struct text_part value);
void lines_remove(struct lines *lines, struct text_part name);
/* In the order: removed, set, added, whatever the order of the range. */
void lines_edit(struct lines *lines, const struct tg_site *site, tg_range edits);

void write_bytes(struct writer *writer, const char *bytes, size_t length);
void write_text(struct writer *writer, const char *text);
void write_number(struct writer *writer, uint64_t number);
/* All lines, and the empty one. */
void write_lines(struct writer *writer, const struct lines *lines);
/* What was written; -1: there was no room. */
int64_t write_end(const struct writer *writer);

struct text_part text_of(const char *text);
struct text_part text_of_piece(const struct tg_site *site, tg_piece piece);
/* The value of the first header of that name (in lower case); at == NULL: there is none. */
struct text_part head_value(const struct http_head *head, const char *bytes, const char *name);

#endif
