#include "exchange/lend.h"

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

void lend_across(struct tg_worker *worker, struct tg_talk *talk, int from, uint32_t there)
{
    struct http_head *head = talk->head[from];
    if (head == NULL) {
        head = malloc(sizeof *head);
        if (head == NULL) {
            /* Read it from its beginning again when more has come. */
            from == DOWNSTREAM ? frame_requests(&talk->frame[from]) : frame_answers(&talk->frame[from]);
            if (from == UPSTREAM)
                frame_expect(&talk->frame[from], talk->exchange.to_head, talk->exchange.to_connect);
            talk->seen[from] = 0;
            return;
        }
        memcpy(head, &worker->head, offsetof(struct http_head, header) + worker->head.headers * sizeof(struct header));
        talk->head[from] = head;
        talk->frame[from].head = head;
    }
    talk->seen[from] = there;
}

void lend_end(struct tg_talk *talk, int from)
{
    free(talk->head[from]);
    talk->head[from] = NULL;
    talk->seen[from] = 0;
}
