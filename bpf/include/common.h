/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every hook includes first. Only UAPI headers: the programs depend on no kernel's internal layout. */
#ifndef TIDEGATE_COMMON_H
#define TIDEGATE_COMMON_H

/* The order matters: bpf_helpers.h uses the types of linux/bpf.h. */
#include <linux/bpf.h>
#include <stdbool.h>
/**/
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "wire.h"

#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define LO_IFINDEX 1

/* Context fields are not memory: the verifier knows each by its offset and size. The compiler must neither merge two
 * accesses into one nor compute a field's address first. */
#define CTX(field) (*(volatile typeof(field) *)&(field))

#define TG_LICENSE char LICENSE[] SEC("license") = "Dual BSD/GPL"

#endif
