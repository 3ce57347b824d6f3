/* Bytes that somebody else keeps, without a NUL. */
#ifndef TG_TEXT_H
#define TG_TEXT_H

#include <stddef.h>

struct tg_text {
    const char *at;
    size_t length;
};

#endif
