// SPDX-License-Identifier: Apache-2.0
//
// From the first instruction to main(), and what only the CPU architecture knows: address spaces,
// traps. Nothing here knows a board.

#ifndef STARTUP_H
#define STARTUP_H

#include <stdint.h>

/// What the loader left for the kernel: x0, a1 or EBX.
uintptr_t startup_argument(void);

/// The image in memory, stack included: [start, end).
uintptr_t startup_image_start(void);
uintptr_t startup_image_end(void);
/// Where the stack begins; it ends where the image does.
uintptr_t startup_stack_start(void);

/// What kind of accesses a range is for.
enum address_kind {
  /// RAM, cached.
  ADDRESS_MEMORY = 0,
  /// Device registers: no caching, no merging, no speculation.
  ADDRESS_DEVICE = 1,
};

/// Makes [start, start + size) reachable at its own address. Returns 0 when the address space does
/// not reach that far. Ranges that were mapped stay as they were.
int address_space_map(uint64_t start, uint64_t size, enum address_kind kind);

/// The address at which the same memory is reached without the cache, or 0 where there is none.
uintptr_t address_space_uncached(uintptr_t address);

#endif
