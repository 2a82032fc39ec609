// SPDX-License-Identifier: Apache-2.0
//
// aarch64: one level-1 table of 1 GiB blocks for each half of the address space. The lower half
// maps addresses to themselves; the upper half has the same RAM without caching, for coherent
// memory of machines whose devices do not snoop.
//
// Arm ARM D5.3: a descriptor that goes from invalid to valid needs no TLB maintenance, only that
// the store is seen by the table walker (dsb) and by this CPU's next instruction (isb).

#ifdef __aarch64__

#include "board.h"
#include "startup.h"

#define GIGABYTE_SHIFT 30
#define ENTRY_COUNT 512
#define UPPER_HALF 0xffffff8000000000u

#define DESCRIPTOR_BLOCK 1u
#define DESCRIPTOR_ATTRIBUTE(index) ((uint64_t)(index) << 2)
#define DESCRIPTOR_INNER_SHAREABLE (3u << 8)
#define DESCRIPTOR_ACCESSED (1u << 10)
#define DESCRIPTOR_NEVER_EXECUTE (3ull << 53)

uint64_t address_space_cached[ENTRY_COUNT] __attribute__((aligned(4096)));
uint64_t address_space_noncached[ENTRY_COUNT] __attribute__((aligned(4096)));

int address_space_map(uint64_t start, uint64_t size, enum address_kind kind) {
  if (size == 0) return 1;
  uint64_t last = start + size - 1;
  if (last < start || last >> GIGABYTE_SHIFT >= ENTRY_COUNT) return 0;
  for (uint64_t index = start >> GIGABYTE_SHIFT; index <= last >> GIGABYTE_SHIFT; index++) {
    if (address_space_cached[index] != 0) continue;
    uint64_t block = index << GIGABYTE_SHIFT | DESCRIPTOR_ACCESSED | DESCRIPTOR_BLOCK;
    if (kind == ADDRESS_DEVICE) {
      address_space_cached[index] = block | DESCRIPTOR_ATTRIBUTE(0) | DESCRIPTOR_NEVER_EXECUTE;
    } else {
      block |= DESCRIPTOR_INNER_SHAREABLE;
      address_space_cached[index] = block | DESCRIPTOR_ATTRIBUTE(1);
      address_space_noncached[index] = block | DESCRIPTOR_ATTRIBUTE(2) | DESCRIPTOR_NEVER_EXECUTE;
    }
  }
  __asm__ volatile("dsb ishst\n isb" ::: "memory");
  return 1;
}

uintptr_t address_space_uncached(uintptr_t address) {
  if (address >> GIGABYTE_SHIFT >= ENTRY_COUNT) return 0;
  return address_space_noncached[address >> GIGABYTE_SHIFT] != 0 ? address | UPPER_HALF : 0;
}

/// Called by the startup code with the MMU off.
void address_space_prepare(void) {
  address_space_map(startup_image_start(), startup_image_end() - startup_image_start(),
                    ADDRESS_MEMORY);
  address_space_map(board_console_base(), 4096, ADDRESS_DEVICE);
}

#endif
