#include "database/waiting.h"

void statements_put(struct statement_ring *ring, const tg_statement *statement)
{
    pthread_mutex_lock(&ring->lock);
    if (ring->count < STATEMENT_RING)
        ring->waiting[(ring->first + ring->count++) % STATEMENT_RING] = *statement;
    else
        ring->dropped++;
    pthread_mutex_unlock(&ring->lock);
}

void statements_switch(struct statement_ring *ring, bool on)
{
    pthread_mutex_lock(&ring->lock);
    ring->count = 0;
    ring->dropped = 0;
    atomic_store(&ring->on, on);
    pthread_mutex_unlock(&ring->lock);
}

int statements_take(struct statement_ring *ring, tg_statement *out, int max, uint64_t *dropped)
{
    int count = 0;
    pthread_mutex_lock(&ring->lock);
    for (; count < max && ring->count > 0; ring->count--) {
        out[count++] = ring->waiting[ring->first];
        ring->first = (ring->first + 1) % STATEMENT_RING;
    }
    *dropped = ring->dropped;
    ring->dropped = 0;
    pthread_mutex_unlock(&ring->lock);
    return count;
}
