// SPDX-License-Identifier: Apache-2.0
//
// Every trap ends the run: it prints what the CPU says and where, for a symboliser.

#include "runtime.h"

static void put_text(const char *text) {
  while (*text) putchar(*text++);
}

static void put_hex(uint64_t value) {
  put_text("0x");
  for (int shift = 60; shift >= 0; shift -= 4) putchar("0123456789abcdef"[(value >> shift) & 15]);
}

/// Called by the startup code's vectors, on a stack of its own.
///
/// aarch64: vector, ESR, ELR, FAR. riscv64: 0, mcause, mepc, mtval. x86_64: vector, error code, RIP,
/// CR2.
__attribute__((noreturn)) void trap(uint64_t vector, uint64_t cause, uint64_t pc, uint64_t address) {
  static int is_trapping;
  if (is_trapping) board_exit(FIRMWARE_STATUS_TRAPPED);
  is_trapping = 1;
  put_text("\nTRAP vector ");
  put_hex(vector);
  put_text(" cause ");
  put_hex(cause);
  put_text(" pc ");
  put_hex(pc);
  put_text(" address ");
  put_hex(address);
  putchar('\n');
  board_exit(FIRMWARE_STATUS_TRAPPED);
}
