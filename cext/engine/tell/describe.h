/* A relay in the caller's words. Of one that lives: under the registry's mutex. */
#ifndef TG_DESCRIBE_H
#define TG_DESCRIBE_H

#include <stdint.h>

#include "relay/relay.h"

int64_t describe_age_ms(const struct tg_relay *relay, uint64_t now_us);
int64_t describe_idle_ms(const struct tg_relay *relay, uint64_t now_us);

/* An accepted connection; reason and error are left 0. */
void describe_connection(const struct tg_relay *relay, uint64_t now_us, tg_record *out);

#endif
