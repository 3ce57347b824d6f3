#include "tell/ring.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/counter.h"

/* Stands where the rest of the ring, up to its end, is left out. No record is as long as that. */
#define SKIPPED UINT32_MAX

int ring_open(struct tg_ring *ring)
{
    if (atomic_load(&ring->bytes) != NULL)
        return 0;
    char *bytes = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        return -ENOMEM;
    atomic_store(&ring->bytes, bytes);
    return 0;
}

void ring_close(struct tg_ring *ring)
{
    char *bytes = atomic_exchange(&ring->bytes, NULL);
    if (bytes != NULL)
        munmap(bytes, RING_SIZE);
}

void *ring_reserve(struct tg_ring *ring, uint32_t size)
{
    char *bytes = atomic_load_explicit(&ring->bytes, memory_order_acquire);
    const uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    const uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_acquire);
    const uint64_t at = written % RING_SIZE;
    const uint64_t skipped = RING_SIZE - at < size ? RING_SIZE - at : 0;
    if (bytes == NULL || written - taken + skipped + size > RING_SIZE) {
        counter_add(&ring->dropped, 1);
        return NULL;
    }
    if (skipped != 0) {
        *(uint32_t *)(bytes + at) = SKIPPED;
        atomic_store_explicit(&ring->written, written + skipped, memory_order_release);
        return bytes;
    }
    return bytes + at;
}

void ring_commit(struct tg_ring *ring, uint32_t size)
{
    /* Sequentially consistent, as the flag is that tells whether the reader must be woken: one of the two sees the
     * other's store. */
    atomic_store(&ring->written, atomic_load_explicit(&ring->written, memory_order_relaxed) + size);
}

const void *ring_first(struct tg_ring *ring)
{
    const uint64_t written = atomic_load(&ring->written);
    const char *bytes = atomic_load_explicit(&ring->bytes, memory_order_relaxed);
    uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    if (taken == written)
        return NULL;
    if (*(const uint32_t *)(bytes + taken % RING_SIZE) == SKIPPED) {
        taken += RING_SIZE - taken % RING_SIZE;
        atomic_store_explicit(&ring->taken, taken, memory_order_release);
    }
    return taken == written ? NULL : bytes + taken % RING_SIZE;
}

void ring_take(struct tg_ring *ring)
{
    const uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    const uint32_t size = *(const uint32_t *)(atomic_load(&ring->bytes) + taken % RING_SIZE);
    atomic_store_explicit(&ring->taken, taken + size, memory_order_release);
}

bool ring_is_empty(const struct tg_ring *ring)
{
    return atomic_load(&ring->written) == atomic_load(&ring->taken);
}
