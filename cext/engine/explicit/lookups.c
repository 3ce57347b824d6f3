#include "explicit/lookups.h"

#include <errno.h>
#include <stdlib.h>

#include "capacity.h"
#include "state.h"
#include "tell/queues.h"

struct tg_question_node {
    struct tg_question_node *next;
    tg_lookup question;
};

void lookups_init(struct tg_lookups *lookups)
{
    pthread_mutex_init(&lookups->mutex, NULL);
    lookups->last = &lookups->first;
}

void lookups_destroy(struct tg_lookups *lookups)
{
    while (lookups->first != NULL) {
        struct tg_question_node *next = lookups->first->next;
        free(lookups->first);
        lookups->first = next;
    }
    pthread_mutex_destroy(&lookups->mutex);
}

int lookups_ask(struct tg_engine *engine, const tg_lookup *question)
{
    struct tg_lookups *lookups = &engine->lookups;
    struct tg_question_node *node = malloc(sizeof *node);
    if (node == NULL)
        return -ENOMEM;
    *node = (struct tg_question_node){.question = *question};
    pthread_mutex_lock(&lookups->mutex);
    const bool is_taken = lookups->count < LOOKUPS_MAX;
    if (is_taken) {
        *lookups->last = node;
        lookups->last = &node->next;
        lookups->count++;
    }
    pthread_mutex_unlock(&lookups->mutex);
    if (!is_taken) {
        free(node);
        return -ENOBUFS;
    }
    engine_raise(engine, TG_ASKED);
    return 0;
}

int tg_engine_lookup_fd(const tg_engine *engine)
{
    return engine->signals[TG_ASKED].fd;
}

int tg_engine_lookups(tg_engine *engine, tg_lookup *out, int max)
{
    struct tg_lookups *lookups = &engine->lookups;
    int count = 0;
    /* First the signal, then the questions: what is asked after our last look signals again. */
    engine_lower(engine, TG_ASKED);
    pthread_mutex_lock(&lookups->mutex);
    while (count < max && lookups->first != NULL) {
        struct tg_question_node *node = lookups->first;
        lookups->first = node->next;
        lookups->count--;
        out[count++] = node->question;
        free(node);
    }
    if (lookups->first == NULL)
        lookups->last = &lookups->first;
    const bool more = lookups->first != NULL;
    pthread_mutex_unlock(&lookups->mutex);
    if (more)
        engine_raise(engine, TG_ASKED);
    return count;
}

int tg_engine_found(tg_engine *engine, const tg_found *found)
{
    const unsigned index = (unsigned)(found->handle & 0xff);
    if (found->count > TG_MAX_FOUND || (found->status == 0 && found->count == 0))
        return -EINVAL;
    if (index >= engine->worker_count)
        return -ENOENT;
    struct tg_found_node *node = malloc(sizeof *node);
    if (node == NULL)
        return -ENOMEM;
    node->found = *found;
    node->found.text[TG_LONGEST_REASON - 1] = '\0';
    int error = -ESHUTDOWN;
    pthread_mutex_lock(&engine->submitting);
    if (!atomic_load(&engine->stopping)) {
        struct tg_worker *worker = &engine->workers[index];
        error = 0;
        if (mailbox_push(&worker->found, &node->node, &node->node))
            worker_wake(worker);
    }
    pthread_mutex_unlock(&engine->submitting);
    if (error < 0)
        free(node);
    return error;
}
