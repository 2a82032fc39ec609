// SPDX-License-Identifier: Apache-2.0
//
// What QEMU's PCs have in common.

#ifndef PC_H
#define PC_H

#include "board.h"

/// The PVH loader leaves the address of hvm_start_info in EBX.
static inline uintptr_t pc_description(uintptr_t boot_argument) { return boot_argument; }

/// QEMU's isa-debug-exit at 0xf4: the emulator ends with 2 * code + 1.
__attribute__((noreturn)) static inline void pc_exit(uint32_t code) {
  for (;;) __asm__ volatile("outl %0, %1\n hlt" ::"a"(code), "Nd"((uint16_t)0xf4));
}

#endif
