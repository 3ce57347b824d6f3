/* A side of a connection: one socket, what epoll has told of it, and how it ended. */
#ifndef TG_SIDE_H
#define TG_SIDE_H

#include <stdbool.h>
#include <stdint.h>

/* One socket of a relay. Edge-triggered epoll: readable and writable mean "not known to give EAGAIN". */
struct tg_side {
    int fd;
    int error; /* errno of the failure that ended this side; 0: alive */
    bool readable;
    bool writable;
    bool fin;   /* its FIN has come; bytes may still be before it */
    bool plain; /* has no options of ours yet but SO_OOBINLINE: see side_tune_late */
    bool eager; /* a short read doesn't prove that nothing is left: EOF, an error or urgent data may wait behind it */
};

/* Puts the socket into the epoll; its events carry the handle with `index` in the low 8 bits. 0 or -errno. */
int side_watch(const struct tg_side *side, int epoll_fd, uint64_t handle, int index);

/* Makes up for the options that a side was not given at its connect: short connections do without. */
void side_tune_late(struct tg_side *side, uint32_t keepalive_s);

/* Notes what an event says about the socket. */
void side_note(struct tg_side *side, uint32_t events);

#endif
