// SPDX-License-Identifier: Apache-2.0
//
// QEMU's `virt` machine for aarch64.

#ifdef __aarch64__

#include "board.h"

/// A loader that follows Linux's protocol leaves the tree's address in x0. QEMU does so for flat
/// images; for ELF files it leaves 0 and puts the tree at the start of RAM.
static uintptr_t description(uintptr_t boot_argument) {
  return boot_argument != 0 ? boot_argument : 0x40000000;
}

/// Semihosting SYS_EXIT (0x18) with ADP_Stopped_ApplicationExit and a code; QEMU needs
/// `-semihosting`.
__attribute__((noreturn)) static void semihosting_exit(uint32_t code) {
  uint64_t block[2] = {0x20026, code};
  register uint64_t operation __asm__("x0") = 0x18;
  register uint64_t *argument __asm__("x1") = block;
  for (;;) __asm__ volatile("hlt #0xf000" : "+r"(operation) : "r"(argument) : "memory");
}

const struct board board_aarch64_virt = {
    .name = "aarch64-virt",
    .console_kind = CONSOLE_PL011,
    .console_base = 0x09000000,
    .description = description,
    .exit = semihosting_exit,
};

#endif
