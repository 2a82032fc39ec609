// SPDX-License-Identifier: Apache-2.0
//
// QEMU's `virt` machine for riscv64.

#ifdef BOARD_RISCV64_VIRT

#include "board.h"

const char *board_name(void) { return "riscv64-virt"; }

enum console_kind board_console_kind(void) { return CONSOLE_NS16550_MEMORY; }
uintptr_t board_console_base(void) { return 0x10000000; }

/// The loader leaves the tree's address in a1, as firmware does for Linux.
uintptr_t board_description(uintptr_t boot_argument) { return boot_argument; }

/// The test device ("sifive,test1"): code << 16 | 0x3333 ends the emulator with the code.
void board_exit(uint32_t code) {
  for (;;) *(volatile uint32_t *)0x100000 = code << 16 | 0x3333;
}

#endif
