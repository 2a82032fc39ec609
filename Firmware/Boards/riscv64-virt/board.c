// SPDX-License-Identifier: Apache-2.0
//
// QEMU's `virt` machine for riscv64.

#if defined(__riscv) && __riscv_xlen == 64

#include "board.h"

/// The loader leaves the tree's address in a1, as firmware does for Linux.
static uintptr_t description(uintptr_t boot_argument) { return boot_argument; }

/// The test device ("sifive,test1"): code << 16 | 0x3333 ends the emulator with the code.
__attribute__((noreturn)) static void test_device_exit(uint32_t code) {
  for (;;) *(volatile uint32_t *)0x100000 = code << 16 | 0x3333;
}

const struct board board_riscv64_virt = {
    .name = "riscv64-virt",
    .console_kind = CONSOLE_NS16550_MEMORY,
    .console_base = 0x10000000,
    .description = description,
    .exit = test_device_exit,
};

#endif
