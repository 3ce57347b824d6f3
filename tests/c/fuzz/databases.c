/* Both directions of a connection to a database, in pieces: what is told of requests must not depend on how the bytes
 * are cut. The input is pieces: a byte that says which side sends (its lowest bit) and how many bytes follow. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "database/follow.h"

enum { MOST_TOLD = 4096 };

struct heard {
    size_t count;
    uint32_t told[MOST_TOLD];
    bool followed;
};

static void hear(void *context, const struct follow_told *told)
{
    struct heard *heard = context;
    if (heard->count < MOST_TOLD)
        heard->told[heard->count] = (uint32_t)told->kind << 1 | told->failed;
    heard->count++;
    enum database database;
    if (kind_name(told->kind, &database) == NULL)
        abort();
}

/* A copy of its own size, so that a read beyond it is seen. */
static bool give(struct follow *follow, int from, const uint8_t *bytes, size_t length, struct heard *heard)
{
    uint8_t *copy = malloc(length > 0 ? length : 1);
    memcpy(copy, bytes, length);
    const bool followed = follow_saw(follow, from, copy, length, 1, hear, heard);
    free(copy);
    return followed;
}

static void follow_all(const uint8_t *data, size_t size, size_t cut, struct heard *heard)
{
    struct follow *follow = NULL;
    *heard = (struct heard){.followed = true};
    for (size_t at = 0; at < size && heard->followed;) {
        const int from = data[at] & 1;
        size_t length = data[at] >> 1;
        at++;
        if (length > size - at)
            length = size - at;
        if (length == 0)
            continue;
        if (follow == NULL) {
            const enum database database = follow_guess(from, data + at, length);
            if (database == DATABASE_NONE)
                break;
            follow = calloc(1, sizeof *follow);
            follow->database = database;
        }
        for (size_t done = 0; done < length && heard->followed; done += cut) {
            const size_t piece = length - done < cut ? length - done : cut;
            heard->followed = give(follow, from, data + at + done, piece, heard);
        }
        at += length;
    }
    free(follow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct heard whole, cut;
    follow_all(data, size, SIZE_MAX / 2, &whole);
    for (size_t piece = 1; piece <= 7; piece += 3) {
        follow_all(data, size, piece, &cut);
        const size_t known = whole.count < MOST_TOLD ? whole.count : MOST_TOLD;
        if (cut.count != whole.count || cut.followed != whole.followed ||
            memcmp(cut.told, whole.told, known * sizeof whole.told[0]) != 0)
            abort();
    }
    return 0;
}
