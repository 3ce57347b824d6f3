/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause. Empty on purpose: see linux/kconfig.h. */
