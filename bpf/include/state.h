/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * What is remembered of live connections. Everything that belongs to a socket lives in that socket's own storage, which
 * the kernel frees with it: nothing can go stale. Only a handshake's few microseconds need a table of their own.
 */
#ifndef TIDEGATE_STATE_H
#define TIDEGATE_STATE_H

#include "common.h"

/* On the socket that called connect(), or that sent to a captured DNS server. Written by connect, sendmsg and sockops;
 * read by getpeername, recvmsg and sockops. Gone with the socket, or at its next connect() that is not steered. */
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct tg_asked);
} tg_asked_by SEC(".maps");

/* On the socket that the proxy accepted for it. Written by sockops, read by getsockopt. Gone with the socket. */
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct tg_endpoint);
} tg_accepted_for SEC(".maps");

/* On inbound listeners, value: their port. Cloned to each socket accepted from them: its local address is then the
 * original destination, unless the client dialled the listener's own port. Written by sockops at listen() and by
 * intercept/backends/ebpf/listeners.py; read by getsockopt. Gone with each socket. */
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
    __type(key, int);
    __type(value, __u32);
} tg_inbound_of SEC(".maps");

/* On the socket by which the proxy calls the workload, wanted: the client for which it does. Written by setsockopt and
 * sockops, read by sockops. Gone with the socket. */
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct tg_asked);
} tg_calls_for SEC(".maps");

/* On the socket that the workload accepts for such a call: the client. Written by sockops, read by getpeername. Gone
 * with the socket. */
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct tg_endpoint);
} tg_called_by SEC(".maps");

/* Between the two, as tg_pending: from the proxy's SYN until the workload's side is established, or the proxy's socket
 * closes without it. A call that finds it full shows the proxy's own address. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1 << 16);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct tg_flow);
    __type(value, struct tg_endpoint);
} tg_calling SEC(".maps");

/* From the SYN until the listener's side is established, or the client's socket closes without it: sockops writes,
 * reads and deletes. A handshake that finds it full loses its destination, which the counter lost-destination tells. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1 << 16);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct tg_flow);
    __type(value, struct tg_endpoint);
} tg_pending SEC(".maps");

#endif
