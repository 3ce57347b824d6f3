/* A server of HTTP/1 that answers in every way that servers have, and what both peers of an exchange need. */
#ifndef WEB_H
#define WEB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { ROOM = 400000, MOST_BODY = 150000 };

extern struct web {
    int site; /* a listening socket */
    _Atomic bool stop;
} web;

/* What a peer has said so far. */
struct heard {
    char *bytes; /* ROOM */
    size_t length;
    size_t used;
};

bool send_all(int fd, const char *bytes, size_t size);
bool hear(int fd, struct heard *heard);
size_t hear_head(int fd, struct heard *heard);
bool hear_length(int fd, struct heard *heard, size_t length);
unsigned long number_behind(const char *bytes, size_t length, const char *name);
void write_body(char *out, size_t length, unsigned long number);

/* A thread: serves until `stop`. */
void *web_serve(void *argument);

#endif
