/* The commands and statements that are told apart, by fixed names: what a client sends never becomes a name. */
#ifndef TG_DATABASE_KINDS_H
#define TG_DATABASE_KINDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum database { DATABASE_NONE = 0, DATABASE_REDIS = 1, DATABASE_POSTGRES = 2, DATABASE_MYSQL = 3 };

enum { DATABASE_KINDS = 256, KIND_LONGEST = 16 };

/* The kind of that name, in any case; that of OTHER where there is none. Less than DATABASE_KINDS. */
uint16_t kind_named(enum database database, const uint8_t *name, size_t length);

/* The kind of a statement in SQL, by its first word; comments and brackets before it are passed over. */
uint16_t kind_of_sql(enum database database, const uint8_t *text, size_t length);

/* NULL: there is no such kind. */
const char *kind_name(uint16_t kind, enum database *database);

#endif
