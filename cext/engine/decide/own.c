#include "decide/own.h"

static struct tg_own_stripe *stripe_of(struct tg_owns *owns, const tg_address *source, const tg_address *destination,
                                       struct tg_own ***chain)
{
    const uint64_t value = address_hash(destination, address_hash(source, owns->seed));
    struct tg_own_stripe *stripe = &owns->stripes[value % TG_OWN_STRIPES];
    *chain = &stripe->chains[value / TG_OWN_STRIPES % TG_OWN_CHAINS];
    return stripe;
}

void owns_init(struct tg_owns *owns, uint64_t seed)
{
    owns->seed = seed;
    for (int i = 0; i < TG_OWN_STRIPES; i++)
        pthread_mutex_init(&owns->stripes[i].mutex, NULL);
}

void owns_destroy(struct tg_owns *owns)
{
    for (int i = 0; i < TG_OWN_STRIPES; i++)
        pthread_mutex_destroy(&owns->stripes[i].mutex);
}

void own_add(struct tg_owns *owns, struct tg_own *own)
{
    struct tg_own **chain;
    struct tg_own_stripe *stripe = stripe_of(owns, &own->source, &own->destination, &chain);
    pthread_mutex_lock(&stripe->mutex);
    own->next = *chain;
    own->listed = true;
    *chain = own;
    pthread_mutex_unlock(&stripe->mutex);
}

void own_remove(struct tg_owns *owns, struct tg_own *own)
{
    struct tg_own **link;
    if (!own->listed)
        return;
    struct tg_own_stripe *stripe = stripe_of(owns, &own->source, &own->destination, &link);
    pthread_mutex_lock(&stripe->mutex);
    while (*link != own)
        link = &(*link)->next;
    *link = own->next;
    own->listed = false;
    pthread_mutex_unlock(&stripe->mutex);
}

bool own_find(struct tg_owns *owns, const tg_address *source, const tg_address *destination, uint32_t *scope,
              uint32_t *hops)
{
    struct tg_own **chain;
    struct tg_own_stripe *stripe = stripe_of(owns, source, destination, &chain);
    const struct tg_own *own;
    pthread_mutex_lock(&stripe->mutex);
    for (own = *chain; own != NULL; own = own->next)
        if (address_equal(&own->source, source) && address_equal(&own->destination, destination))
            break;
    if (own != NULL) {
        *scope = own->scope;
        *hops = own->hops;
    }
    pthread_mutex_unlock(&stripe->mutex);
    return own != NULL;
}
