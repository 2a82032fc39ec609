// SPDX-License-Identifier: Apache-2.0
//
// QEMU's `pc` machine for x86_64 (i440FX): conventional PCI, and never an IOMMU.

#ifdef __x86_64__

#include "../common/pc.h"

const struct board board_x86_64_pc = {
    .name = "x86_64-pc",
    .console_kind = CONSOLE_NS16550_PORT,
    .console_base = 0x3f8,
    .description = pc_description,
    .exit = pc_exit,
};

#endif
