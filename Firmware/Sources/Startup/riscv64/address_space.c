// SPDX-License-Identifier: Apache-2.0
//
// riscv64: no translation, so everything is reachable; which ranges are cached is
// the platform's business (physical memory attributes), and there is no uncached view of RAM.

#if defined(__riscv) && __riscv_xlen == 64

#include "startup.h"

int address_space_map(uint64_t start, uint64_t size, enum address_kind kind) {
  (void)kind;
  // Physical addresses have at most 56 bits.
  return size == 0 || (start < 1ull << 56 && size <= (1ull << 56) - start);
}

uintptr_t address_space_uncached(uintptr_t address) {
  (void)address;
  return 0;
}

#endif
