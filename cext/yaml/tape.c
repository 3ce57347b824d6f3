/* See tape.h. Columns grow by doubling and are kept from one document to the next. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "tape.h"

#define DEEPEST 1024

struct tg_yaml {
    yaml_parser_t parser;
    uint32_t nodes; /* of all documents so far */

    uint32_t count, capacity;
    uint8_t *kinds;
    uint32_t *lines, *offsets, *after;

    uint32_t mark_count, mark_capacity, alias_count;
    struct tg_yaml_mark *marks;

    char *text, *names; /* texts of events; anchors and tags */
    size_t text_size, text_capacity, names_size, names_capacity;
    uint32_t text_points, names_points; /* the same in code points */

    uint32_t depth, open[DEEPEST];
};

struct tg_yaml *tg_yaml_open(const char *bytes, size_t size)
{
    struct tg_yaml *yaml = size > UINT32_MAX ? NULL : calloc(1, sizeof(*yaml));
    if (yaml == NULL)
        return NULL;
    if (!yaml_parser_initialize(&yaml->parser)) {
        free(yaml);
        return NULL;
    }
    yaml_parser_set_input_string(&yaml->parser, (const unsigned char *)bytes, size);
    return yaml;
}

void tg_yaml_release(struct tg_yaml *yaml)
{
    free(yaml->kinds);
    free(yaml->lines);
    free(yaml->offsets);
    free(yaml->after);
    free(yaml->marks);
    free(yaml->text);
    free(yaml->names);
    yaml->kinds = NULL;
    yaml->lines = yaml->offsets = yaml->after = NULL;
    yaml->marks = NULL;
    yaml->text = yaml->names = NULL;
    yaml->capacity = yaml->mark_capacity = 0;
    yaml->text_capacity = yaml->names_capacity = 0;
}

void tg_yaml_close(struct tg_yaml *yaml)
{
    yaml_parser_delete(&yaml->parser);
    tg_yaml_release(yaml);
    free(yaml);
}

/* Make *column hold `capacity` items of `size` bytes. 0, or -ENOMEM with the column as it was. */
static int widen(void *column, size_t capacity, size_t size)
{
    void *wider = reallocarray(*(void **)column, capacity, size);
    if (wider == NULL)
        return -ENOMEM;
    *(void **)column = wider;
    return 0;
}

/* Room for one more event and, in offsets, the end of its text. 0 or -ENOMEM. */
static int room_for_event(struct tg_yaml *yaml)
{
    if (yaml->count < yaml->capacity)
        return 0;
    uint32_t capacity = yaml->capacity == 0 ? 256 : 2 * yaml->capacity;
    if (widen(&yaml->kinds, capacity, sizeof(*yaml->kinds)) < 0 ||
        widen(&yaml->lines, capacity, sizeof(*yaml->lines)) < 0 ||
        widen(&yaml->offsets, (size_t)capacity + 1, sizeof(*yaml->offsets)) < 0 ||
        widen(&yaml->after, capacity, sizeof(*yaml->after)) < 0)
        return -ENOMEM;
    yaml->capacity = capacity;
    return 0;
}

/* Append `size` bytes of UTF-8 and count its code points. 0 or -ENOMEM. */
static int append(char **text, size_t *used, size_t *capacity, uint32_t *points, const yaml_char_t *bytes, size_t size)
{
    if (*capacity - *used < size) {
        size_t wanted = *capacity == 0 ? 4096 : *capacity;
        while (wanted - *used < size)
            wanted *= 2;
        if (widen(text, wanted, 1) < 0)
            return -ENOMEM;
        *capacity = wanted;
    }
    if (size == 0)
        return 0;
    memcpy(*text + *used, bytes, size);
    *used += size;
    for (size_t i = 0; i < size; i++)
        *points += (bytes[i] & 0xC0) != 0x80;
    return 0;
}

static int append_name(struct tg_yaml *yaml, const yaml_char_t *name)
{
    if (name == NULL)
        return 0;
    return append(&yaml->names, &yaml->names_size, &yaml->names_capacity, &yaml->names_points, name,
                  strlen((const char *)name));
}

/* Note the anchor and the tag of the event that comes next. NULL: none. 0 or -ENOMEM. */
static int mark(struct tg_yaml *yaml, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor == NULL && tag == NULL)
        return 0;
    if (yaml->mark_count == yaml->mark_capacity) {
        uint32_t capacity = yaml->mark_capacity == 0 ? 16 : 2 * yaml->mark_capacity;
        if (widen(&yaml->marks, capacity, sizeof(*yaml->marks)) < 0)
            return -ENOMEM;
        yaml->mark_capacity = capacity;
    }
    struct tg_yaml_mark *made = &yaml->marks[yaml->mark_count++];
    made->event = yaml->count;
    made->anchor = yaml->names_points;
    if (append_name(yaml, anchor) < 0)
        return -ENOMEM;
    made->anchor_end = made->tag = yaml->names_points;
    if (append_name(yaml, tag) < 0)
        return -ENOMEM;
    made->tag_end = yaml->names_points;
    return 0;
}

/* Write one event down. 0 or -ENOMEM. */
static int put(struct tg_yaml *yaml, enum tg_yaml_kind kind, const yaml_event_t *event, const yaml_char_t *text,
               size_t size)
{
    if (room_for_event(yaml) < 0)
        return -ENOMEM;
    uint32_t index = yaml->count;
    yaml->kinds[index] = (uint8_t)kind;
    yaml->lines[index] = (uint32_t)event->start_mark.line + 1;
    yaml->offsets[index] = yaml->text_points;
    yaml->after[index] = index + 1;
    if (append(&yaml->text, &yaml->text_size, &yaml->text_capacity, &yaml->text_points, text, size) < 0)
        return -ENOMEM;
    yaml->offsets[index + 1] = yaml->text_points;
    yaml->count++;
    return 0;
}

/* The start of a mapping or sequence. 0, -ELOOP or -ENOMEM. */
static int begin(struct tg_yaml *yaml, enum tg_yaml_kind kind, const yaml_event_t *event, uint32_t max_depth)
{
    if (yaml->depth >= max_depth || yaml->depth >= DEEPEST)
        return -ELOOP;
    yaml->open[yaml->depth++] = yaml->count;
    return put(yaml, kind, event, NULL, 0);
}

static int end(struct tg_yaml *yaml, enum tg_yaml_kind kind, const yaml_event_t *event)
{
    int failed = put(yaml, kind, event, NULL, 0);
    if (failed == 0)
        yaml->after[yaml->open[--yaml->depth]] = yaml->count;
    return failed;
}

/* One event of a document. 1: the document has ended. 0, or a negative result of tg_yaml_next. */
static int take(struct tg_yaml *yaml, const yaml_event_t *event, uint32_t max_depth)
{
    int failed;

    switch (event->type) {
    case YAML_MAPPING_START_EVENT:
        failed = mark(yaml, event->data.mapping_start.anchor, event->data.mapping_start.tag);
        return failed < 0 ? failed : begin(yaml, TG_YAML_MAPPING, event, max_depth);
    case YAML_SEQUENCE_START_EVENT:
        failed = mark(yaml, event->data.sequence_start.anchor, event->data.sequence_start.tag);
        return failed < 0 ? failed : begin(yaml, TG_YAML_SEQUENCE, event, max_depth);
    case YAML_MAPPING_END_EVENT:
        return end(yaml, TG_YAML_MAPPING_END, event);
    case YAML_SEQUENCE_END_EVENT:
        return end(yaml, TG_YAML_SEQUENCE_END, event);
    case YAML_ALIAS_EVENT: {
        const yaml_char_t *name = event->data.alias.anchor;
        yaml->alias_count++;
        return put(yaml, TG_YAML_ALIAS, event, name, strlen((const char *)name));
    }
    case YAML_SCALAR_EVENT: {
        int plain = event->data.scalar.plain_implicit && event->data.scalar.tag == NULL;
        failed = mark(yaml, event->data.scalar.anchor, event->data.scalar.tag);
        return failed < 0 ? failed
                          : put(yaml, plain ? TG_YAML_PLAIN : TG_YAML_QUOTED, event, event->data.scalar.value,
                                event->data.scalar.length);
    }
    case YAML_DOCUMENT_END_EVENT:
        return 1;
    default:
        return 0;
    }
}

static int counts(const yaml_event_t *event)
{
    return event->type == YAML_SCALAR_EVENT || event->type == YAML_ALIAS_EVENT ||
           event->type == YAML_MAPPING_START_EVENT || event->type == YAML_SEQUENCE_START_EVENT;
}

/* libyaml's own failure in our words. -EBADMSG or -ENOMEM. */
static int failed_parser(const yaml_parser_t *parser, struct tg_yaml_failure *failure)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return -ENOMEM;
    failure->problem = parser->problem;
    failure->context = parser->context;
    if (parser->error == YAML_READER_ERROR) {
        failure->offset = parser->problem_offset;
        failure->character = parser->problem_value;
    } else {
        failure->line = (uint32_t)parser->problem_mark.line + 1;
    }
    return -EBADMSG;
}

static int finish(struct tg_yaml *yaml, struct tg_yaml_tape *tape)
{
    uint32_t points = yaml->text_points;
    if (append(&yaml->text, &yaml->text_size, &yaml->text_capacity, &yaml->text_points,
               (const yaml_char_t *)yaml->names, yaml->names_size) < 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < yaml->mark_count; i++) {
        struct tg_yaml_mark *one = &yaml->marks[i];
        one->anchor += points;
        one->anchor_end += points;
        one->tag += points;
        one->tag_end += points;
    }
    *tape = (struct tg_yaml_tape){
        .count = yaml->count,
        .kinds = yaml->kinds,
        .lines = yaml->lines,
        .offsets = yaml->offsets,
        .after = yaml->after,
        .mark_count = yaml->mark_count,
        .alias_count = yaml->alias_count,
        .marks = yaml->marks,
        .text = yaml->text,
        .text_size = yaml->text_size,
    };
    return 1;
}

int tg_yaml_next(struct tg_yaml *yaml, uint32_t max_depth, uint32_t max_nodes, struct tg_yaml_tape *tape,
                 struct tg_yaml_failure *failure)
{
    yaml->count = yaml->mark_count = yaml->alias_count = 0;
    yaml->text_size = yaml->names_size = 0;
    yaml->text_points = yaml->names_points = yaml->depth = 0;
    *failure = (struct tg_yaml_failure){.character = -1};
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&yaml->parser, &event))
            return failed_parser(&yaml->parser, failure);
        if (event.type == YAML_NO_EVENT || event.type == YAML_STREAM_END_EVENT) {
            yaml_event_delete(&event);
            return 0;
        }
        yaml->nodes += counts(&event);
        int taken = yaml->nodes > max_nodes ? -E2BIG : take(yaml, &event, max_depth);
        failure->line = (uint32_t)event.start_mark.line + 1;
        yaml_event_delete(&event);
        if (taken == 1)
            return finish(yaml, tape);
        if (taken < 0)
            return taken;
        failure->line = 0;
    }
}
