#include "mutate.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t state = 1;

void chance_from(uint64_t seed)
{
    state = seed;
}

uint64_t chance(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return below ? state % below : 0;
}

static void put(struct text *text, size_t at, const char *bytes, size_t length)
{
    char copy[MAX_STREAM]; /* the bytes may be the text's own */

    if (text->length + length > MAX_STREAM)
        return;
    memcpy(copy, bytes, length);
    memmove(text->bytes + at + length, text->bytes + at, text->length - at);
    memcpy(text->bytes + at, copy, length);
    text->length += length;
}

static void cut(struct text *text, size_t at, size_t length)
{
    if (length > text->length - at)
        length = text->length - at;
    memmove(text->bytes + at, text->bytes + at + length, text->length - at - length);
    text->length -= length;
}

void mutate(struct text *text, const struct seeds *seeds)
{
    size_t at = chance(text->length + 1);
    const struct text *other = &seeds->text[chance(seeds->count)];
    const char *word = seeds->words[chance(seeds->word_count)];

    switch (chance(6)) {
    case 0:
        if (at < text->length)
            text->bytes[at] ^= (char)(1u << chance(8));
        break;
    case 1:
        put(text, at, word, strlen(word) + (word[0] == 0));
        break;
    case 2:
        cut(text, at, 1 + chance(8));
        break;
    case 3:
        if (at < text->length)
            text->bytes[at] = (char)chance(256);
        break;
    case 4:
        put(text, at, other->bytes, chance(other->length + 1));
        break;
    case 5:
        put(text, at, text->bytes + chance(at + 1), chance(32) % (text->length - at + 1));
        break;
    }
}

void seeds_read(struct seeds *seeds, const char *corpus, const char *kind)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", corpus, kind);
    DIR *folder = opendir(path);
    struct dirent *entry;

    if (!folder) {
        perror(path);
        exit(2);
    }
    while ((entry = readdir(folder)) && seeds->count < MAX_SEEDS) {
        char name[8192];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        FILE *file = fopen(name, "rb");

        if (!file) {
            perror(name);
            exit(2);
        }
        struct text *text = &seeds->text[seeds->count++];
        text->length = fread(text->bytes, 1, MAX_STREAM / 2, file);
        fclose(file);
    }
    closedir(folder);
}

void fail_on(const char *harness, const char *what, const struct text *text)
{
    fprintf(stderr, "%s: %s\n", harness, what);
    for (size_t i = 0; i < text->length; i++)
        fprintf(stderr, "\\x%02x", (unsigned char)text->bytes[i]);
    fputc('\n', stderr);
    abort();
}

double seconds(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}
