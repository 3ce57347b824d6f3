/* tg_address and the kernel's sockaddr. A v4-mapped IPv6 address is the IPv4 one, everywhere. */
#ifndef TG_ADDRESS_H
#define TG_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "engine.h"

/* Unused bytes are zero, so that addresses compare and hash as bytes. Family 0 for anything but IPv4 and IPv6. */
tg_address address_from(const struct sockaddr_storage *from);
/* Returns the length. */
socklen_t address_to(const tg_address *address, struct sockaddr_storage *to);
bool address_equal(const tg_address *one, const tg_address *other);
uint64_t address_hash(const tg_address *address, uint64_t seed);

#endif
