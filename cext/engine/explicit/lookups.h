/* The way of questions about authorities to the caller, and of its answers to the workers. */
#ifndef TG_LOOKUPS_H
#define TG_LOOKUPS_H

#include <pthread.h>
#include <stdint.h>

#include "base/list.h"
#include "explicit/spec.h"

enum { LOOKUPS_MAX = 4096 /* questions that wait to be taken */ };

struct tg_engine;

/* Workers add, the caller takes: a mutex, held for a few instructions. */
struct tg_lookups {
    pthread_mutex_t mutex;
    struct tg_question_node *first;
    struct tg_question_node **last;
    uint32_t count;
};

/* In a worker's mailbox. */
struct tg_found_node {
    struct tg_node node; /* first member */
    tg_found found;
};

void lookups_init(struct tg_lookups *lookups);
void lookups_destroy(struct tg_lookups *lookups);

/* Asks; copied. 0, -ENOMEM, or -ENOBUFS: too many questions wait. Any worker. */
int lookups_ask(struct tg_engine *engine, const tg_lookup *question);

#endif
