#include "decide/table.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/address.h"

/* A hash of chains that workers walk without a lock while it is being changed. An entry is published
 * by one store and taken out by one store; what was taken out is freed when no worker can be looking at it (epoch.h).
 */
enum { FIRST_CHAINS = 64 };

static struct tg_table *table_new(uint64_t chains)
{
    struct tg_table *table = calloc(1, sizeof *table + chains * sizeof table->chains[0]);
    if (table != NULL)
        table->mask = chains - 1;
    return table;
}

static void free_retired(struct tg_retired *thing)
{
    free(thing);
}

static void release_ruling(struct tg_retired *thing)
{
    ruling_release((struct tg_ruling *)thing);
}

int table_init(struct tg_verdicts *verdicts, struct tg_epochs *epochs)
{
    verdicts->epochs = epochs;
    if (getrandom(&verdicts->seed, sizeof verdicts->seed, 0) != sizeof verdicts->seed)
        return -errno;
    struct tg_table *table = table_new(FIRST_CHAINS);
    atomic_init(&verdicts->table, table);
    return table == NULL ? -ENOMEM : 0;
}

static bool matches(const struct tg_entry *entry, uint32_t scope, const tg_address *address)
{
    return entry->scope == scope && address_equal(&entry->address, address);
}

static _Atomic(struct tg_entry *) *chain_of(struct tg_verdicts *verdicts, struct tg_table *table, uint32_t scope,
                                            const tg_address *address)
{
    return &table->chains[address_hash(address, verdicts->seed ^ scope) & table->mask];
}

/* What points at the entry, or at the NULL where it would be appended. */
static _Atomic(struct tg_entry *) *locate(struct tg_verdicts *verdicts, uint32_t scope, const tg_address *address)
{
    _Atomic(struct tg_entry *) *link = chain_of(verdicts, atomic_load(&verdicts->table), scope, address);
    for (struct tg_entry *entry; (entry = atomic_load(link)) != NULL && !matches(entry, scope, address);)
        link = &entry->next;
    return link;
}

/* Entries can't be in two tables at once, since readers follow their links: a bigger table gets copies. */
static int grow(struct tg_verdicts *verdicts)
{
    struct tg_table *old = atomic_load(&verdicts->table);
    struct tg_table *table = table_new(4 * (old->mask + 1));
    if (table == NULL)
        return -ENOMEM;
    for (uint64_t i = 0; i <= old->mask; i++) {
        for (struct tg_entry *entry = atomic_load(&old->chains[i]); entry != NULL; entry = atomic_load(&entry->next)) {
            struct tg_entry *copy = calloc(1, sizeof *copy);
            if (copy == NULL)
                goto fail;
            copy->address = entry->address;
            copy->scope = entry->scope;
            atomic_init(&copy->ruling, atomic_load(&entry->ruling));
            _Atomic(struct tg_entry *) *chain = chain_of(verdicts, table, copy->scope, &copy->address);
            atomic_init(&copy->next, atomic_load(chain));
            atomic_store(chain, copy);
        }
    }
    atomic_store(&verdicts->table, table);
    for (uint64_t i = 0; i <= old->mask; i++) {
        for (struct tg_entry *entry = atomic_load(&old->chains[i]), *next; entry != NULL; entry = next) {
            next = atomic_load(&entry->next);
            epoch_retire(verdicts->epochs, &entry->retired, free_retired);
        }
    }
    epoch_retire(verdicts->epochs, &old->retired, free_retired);
    return 0;
fail:
    for (uint64_t i = 0; i <= table->mask; i++) {
        for (struct tg_entry *entry = atomic_load(&table->chains[i]), *next; entry != NULL; entry = next) {
            next = atomic_load(&entry->next);
            free(entry);
        }
    }
    free(table);
    return -ENOMEM;
}

int table_set(struct tg_verdicts *verdicts, uint32_t scope, const tg_address *address, struct tg_ruling *ruling)
{
    struct tg_entry *entry = atomic_load(locate(verdicts, scope, address));
    if (entry != NULL) {
        struct tg_ruling *before = atomic_exchange(&entry->ruling, ruling);
        epoch_retire(verdicts->epochs, &before->retired, release_ruling);
        return 0;
    }
    if (verdicts->entry_count > 2 * (atomic_load(&verdicts->table)->mask + 1)) {
        const int error = grow(verdicts);
        if (error < 0)
            return error;
    }
    entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        return -ENOMEM;
    entry->address = *address;
    entry->scope = scope;
    atomic_init(&entry->ruling, ruling);
    atomic_store(locate(verdicts, scope, address), entry);
    verdicts->entry_count++;
    return 0;
}

int table_remove(struct tg_verdicts *verdicts, uint32_t scope, const tg_address *address)
{
    _Atomic(struct tg_entry *) *link = locate(verdicts, scope, address);
    struct tg_entry *entry = atomic_load(link);
    if (entry == NULL)
        return -ENOENT;
    /* Its own link stays: a worker that stands on it must find its way on. */
    atomic_store(link, atomic_load(&entry->next));
    verdicts->entry_count--;
    epoch_retire(verdicts->epochs, &atomic_load(&entry->ruling)->retired, release_ruling);
    epoch_retire(verdicts->epochs, &entry->retired, free_retired);
    return 0;
}

static struct tg_ruling *find_exactly(struct tg_verdicts *verdicts, uint32_t scope, const tg_address *address)
{
    struct tg_entry *entry = atomic_load(locate(verdicts, scope, address));
    return entry == NULL ? NULL : atomic_load(&entry->ruling);
}

struct tg_ruling *table_find(struct tg_verdicts *verdicts, uint32_t scope, const tg_address *address)
{
    const tg_address any_host = {.port = address->port, .family = address->family};
    const tg_address anything = {.family = 0};
    struct tg_ruling *ruling = find_exactly(verdicts, scope, address);
    if (ruling == NULL)
        ruling = find_exactly(verdicts, scope, &any_host);
    if (ruling == NULL)
        ruling = find_exactly(verdicts, scope, &anything);
    /* The table's own reference is held until this turn is over, so it can't have dropped to zero. */
    if (ruling != NULL)
        atomic_fetch_add_explicit(&ruling->references, 1, memory_order_relaxed);
    return ruling;
}

void table_destroy(struct tg_verdicts *verdicts)
{
    struct tg_table *table = atomic_load(&verdicts->table);
    if (table == NULL)
        return;
    for (uint64_t i = 0; i <= table->mask; i++) {
        for (struct tg_entry *entry = atomic_load(&table->chains[i]), *next; entry != NULL; entry = next) {
            next = atomic_load(&entry->next);
            ruling_release(atomic_load(&entry->ruling));
            free(entry);
        }
    }
    free(table);
}
