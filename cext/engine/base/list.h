/* Queues between threads: an intrusive stack that any thread pushes onto and one thread empties at a stroke. It can't
 * be full and allocates nothing, which is why a completion can't be lost. */
#ifndef TG_LIST_H
#define TG_LIST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct tg_node {
    struct tg_node *next;
};

struct tg_mailbox {
    _Atomic(struct tg_node *) top;
};

/* Pushes the chain first..last (linked by next). Returns true when the mailbox was empty, so that the pusher must wake
 * the reader. */
static inline bool mailbox_push(struct tg_mailbox *box, struct tg_node *first, struct tg_node *last)
{
    struct tg_node *top = atomic_load_explicit(&box->top, memory_order_relaxed);
    do {
        last->next = top;
    } while (
        !atomic_compare_exchange_weak_explicit(&box->top, &top, first, memory_order_release, memory_order_relaxed));
    return top == NULL;
}

/* Empties the mailbox; oldest first. Taking everything by one exchange is what rules the ABA problem out. */
static inline struct tg_node *mailbox_take(struct tg_mailbox *box)
{
    struct tg_node *top = atomic_exchange_explicit(&box->top, NULL, memory_order_acquire);
    struct tg_node *oldest = NULL;
    while (top != NULL) {
        struct tg_node *next = top->next;
        top->next = oldest;
        oldest = top;
        top = next;
    }
    return oldest;
}

#endif
