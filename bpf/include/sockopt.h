/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What socket options that carry an address look like to user space. */
#ifndef TIDEGATE_SOCKOPT_H
#define TIDEGATE_SOCKOPT_H

#include "common.h"

/* An option of our own, which no kernel has: "this socket is about to call the workload for that client", a socket
 * address. Without our hook the kernel answers ENOPROTOOPT. Also in cext/engine/base/socket.c and in
 * proxy/start/sockets.py. */
#define TG_SOL_TIDEGATE 0x7467
#define TG_SO_CLIENT 1

struct tg_sockaddr_v4 {
    __u16 family;
    __be16 port;
    __u32 address;
    __u8 zero[8];
};

struct tg_sockaddr_v6 {
    __u16 family;
    __be16 port;
    __u32 flowinfo;
    __u32 address[4];
    __u32 scope_id;
};

#endif
