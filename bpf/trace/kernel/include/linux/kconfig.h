/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* bcc includes this before everything else. It wants a kernel's build tree, which a host that runs containers rarely
 * has; our programs use nothing of one but these names. The other headers in this folder are asked for by bcc's own,
 * and are empty. */
#define CONFIG_BPF_SYSCALL 1
#include <linux/types.h>
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s8 s8;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;
typedef _Bool bool;
typedef __SIZE_TYPE__ size_t;
typedef __UINTPTR_TYPE__ uintptr_t;
