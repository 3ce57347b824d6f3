/*
 * libyaml's events as columns. One parser reads one text; it belongs to one thread at a time.
 */
#ifndef TIDEGATE_YAML_TAPE_H
#define TIDEGATE_YAML_TAPE_H

/* cdef:begin */
enum tg_yaml_kind {
    TG_YAML_MAPPING,
    TG_YAML_MAPPING_END,
    TG_YAML_SEQUENCE,
    TG_YAML_SEQUENCE_END,
    TG_YAML_ALIAS,
    TG_YAML_QUOTED, /* a scalar that is text, or has a tag of its own (see marks) */
    TG_YAML_PLAIN,  /* a scalar whose meaning is left to the reader */
};

/* The anchor and the tag of one event. Both are empty where there is none. */
struct tg_yaml_mark {
    uint32_t event;
    uint32_t anchor, anchor_end, tag, tag_end; /* code points in the tape's text */
};

/* One document: column[i] belongs to event i. It lives until the next call on the same parser. */
struct tg_yaml_tape {
    uint32_t count;
    const uint8_t *kinds;
    const uint32_t *lines;   /* where the event begins; the first line is 1 */
    const uint32_t *offsets; /* count + 1 of them; event i's text is code points offsets[i] to offsets[i + 1] */
    const uint32_t *after;   /* the event that follows the node: past its end event for a mapping or sequence */
    uint32_t mark_count, alias_count;
    const struct tg_yaml_mark *marks;
    const char *text; /* UTF-8; the texts of marks come after those of events */
    size_t text_size;
};

/* Why a text could not be read further. */
struct tg_yaml_failure {
    uint32_t line;       /* 0: not known */
    size_t offset;       /* of the byte that can't be read; only where line is 0 */
    int character;       /* what stands there; -1: not a character */
    const char *problem; /* libyaml's words, or NULL; they live as long as the parser */
    const char *context;
};

/* A parser over `size` bytes, which stay the caller's and must outlive it. NULL: no memory, or 4 GiB and more. */
struct tg_yaml *tg_yaml_open(const char *bytes, size_t size);
void tg_yaml_close(struct tg_yaml *yaml);
/* Give the memory of the last tape back, which otherwise serves the next one. The tape is gone. */
void tg_yaml_release(struct tg_yaml *yaml);

/* Read the next document. 1: *tape is it. 0: there is none. Else *failure says where it stands, and nothing more can be
 * read: -EBADMSG, this is not YAML; -ELOOP, nested deeper than max_depth; -E2BIG, more than max_nodes nodes in all
 * documents so far; -ENOMEM. */
int tg_yaml_next(struct tg_yaml *yaml, uint32_t max_depth, uint32_t max_nodes, struct tg_yaml_tape *tape,
                 struct tg_yaml_failure *failure);
/* cdef:end */

#endif
