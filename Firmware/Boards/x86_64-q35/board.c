// SPDX-License-Identifier: Apache-2.0
//
// QEMU's `q35` machine for x86_64.

#ifdef BOARD_X86_64_Q35

#include "board.h"

const char *board_name(void) { return "x86_64-q35"; }

enum console_kind board_console_kind(void) { return CONSOLE_NS16550_PORT; }
uintptr_t board_console_base(void) { return 0x3f8; }

/// The PVH loader leaves the address of hvm_start_info in EBX.
uintptr_t board_description(uintptr_t boot_argument) { return boot_argument; }

/// QEMU's isa-debug-exit at 0xf4: the emulator ends with 2 * code + 1.
void board_exit(uint32_t code) {
  for (;;) __asm__ volatile("outl %0, %1\n hlt" ::"a"(code), "Nd"((uint16_t)0xf4));
}

#endif
