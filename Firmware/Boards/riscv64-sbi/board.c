// SPDX-License-Identifier: Apache-2.0
//
// QEMU's `virt` machine for riscv64, started by SBI firmware in supervisor mode, as riscv64 boards that
// run Linux are.

#if defined(__riscv) && __riscv_xlen == 64

#include "board.h"

/// The firmware leaves the tree's address in a1.
static uintptr_t description(uintptr_t boot_argument) { return boot_argument; }

/// The test device ("sifive,test1"), which the firmware leaves to supervisor mode; its own reset call
/// takes no code of ours: code << 16 | 0x3333 ends the emulator with the code.
__attribute__((noreturn)) static void test_device_exit(uint32_t code) {
  for (;;) *(volatile uint32_t *)0x100000 = code << 16 | 0x3333;
}

const struct board board_riscv64_sbi = {
    .name = "riscv64-sbi",
    .console_kind = CONSOLE_NS16550_MEMORY,
    .console_base = 0x10000000,
    .description = description,
    .exit = test_device_exit,
};

#endif
