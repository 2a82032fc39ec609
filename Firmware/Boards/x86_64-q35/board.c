// SPDX-License-Identifier: Apache-2.0
//
// QEMU's `q35` machine for x86_64: PCI Express, and a VT-d unit where one is asked for.

#ifdef __x86_64__

#include "../common/pc.h"

const struct board board_x86_64_q35 = {
    .name = "x86_64-q35",
    .console_kind = CONSOLE_NS16550_PORT,
    .console_base = 0x3f8,
    .description = pc_description,
    .exit = pc_exit,
};

#endif
