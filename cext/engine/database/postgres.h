/* Follows PostgreSQL. */
#ifndef TG_DATABASE_POSTGRES_H
#define TG_DATABASE_POSTGRES_H

#include "database/asked.h"

/* Takes some of the bytes, at least one, and returns how many; 0: they can't be followed. */
size_t postgres_saw(const struct follow_place *place, const uint8_t *bytes, size_t length);

#endif
