/* Follows the messages of a database's protocol through the bytes of both directions, in whatever pieces they come.
 * Pure: bytes and the time in, told requests out; nothing is allocated. What can't be
 * followed (TLS, compression, replication) ends it. */
#ifndef TG_DATABASE_FOLLOW_H
#define TG_DATABASE_FOLLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "database/asked.h"

/* What is spoken, by the first bytes that one side sends before the other has sent any. */
enum database follow_guess(int from, const uint8_t *bytes, size_t length);

/* The next bytes of one side. False: it can't be followed any further. */
bool follow_saw(struct follow *follow, int from, const uint8_t *bytes, size_t length, uint64_t now_us, follow_tell tell,
                void *context);

#endif
