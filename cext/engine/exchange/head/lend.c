#include "exchange/head/lend.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct http_head *lend_head(struct tg_worker *worker, struct tg_talk *talk, int from)
{
    if (talk->head[from] != NULL)
        return talk->head[from];
    frame_lend(&talk->frame[from], &worker->head);
    return &worker->head;
}

bool lend_keep(struct tg_talk *talk, int from, const struct http_head *head)
{
    if (talk->head[from] != NULL)
        return true;
    struct http_head *own = malloc(sizeof *own);
    if (own == NULL)
        return false;
    memcpy(own, head, offsetof(struct http_head, header) + head->headers * sizeof(struct header));
    talk->head[from] = own;
    return true;
}

void lend_across(struct tg_worker *worker, struct tg_talk *talk, int from, uint32_t there)
{
    if (talk->head[from] == NULL) {
        if (!lend_keep(talk, from, &worker->head)) {
            /* Read it from its beginning again when more has come. */
            from == DOWNSTREAM ? frame_requests(&talk->frame[from]) : frame_answers(&talk->frame[from]);
            if (from == UPSTREAM)
                frame_expect(&talk->frame[from], talk->exchange.to_head, talk->exchange.to_connect);
            talk->seen[from] = 0;
            return;
        }
        talk->frame[from].head = talk->head[from];
    }
    talk->seen[from] = there;
}

void lend_end(struct tg_talk *talk, int from)
{
    free(talk->head[from]);
    talk->head[from] = NULL;
    talk->seen[from] = 0;
}
