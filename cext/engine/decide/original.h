/* Recovering where an accepted connection was meant to go. */
#ifndef TG_ORIGINAL_H
#define TG_ORIGINAL_H

#include "engine.h"

/* 0: *original is the true one. TG_NO_DESTINATION or TG_DIRECT_DIAL: it must be refused. `own_port` is the listener's.
 * Never guesses: the socket's own address counts only where `how` says so, or when the port proves that no NAT took
 * place. */
int original_destination(int fd, const tg_address *peer, enum tg_original how, uint16_t own_port, tg_address *original);

#endif
