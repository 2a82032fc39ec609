// SPDX-License-Identifier: Apache-2.0
//
// x86_64: every address at itself, in pages of 2 MiB. The startup code maps the first 4 GiB; what
// is uncached there, the firmware's MTRRs say. The rest is mapped on demand.

#ifdef __x86_64__

#include "startup.h"

#define DIRECTORY_COUNT 128
#define PAGE_SHIFT 21
#define GIGABYTE_SHIFT 30

#define PRESENT_WRITABLE 0x3ull
#define LARGE 0x80ull
/// PCD and PWT: uncached with the PAT of a reset.
#define UNCACHED 0x18ull

uint64_t address_space_root[512] __attribute__((aligned(4096)));
uint64_t address_space_pointers[512] __attribute__((aligned(4096)));
/// One for each GiB; the first four are filled by the startup code.
uint64_t address_space_directories[DIRECTORY_COUNT][512] __attribute__((aligned(4096)));

int address_space_map(uint64_t start, uint64_t size, enum address_kind kind) {
  if (size == 0) return 1;
  uint64_t last = start + size - 1;
  if (last < start || last >> GIGABYTE_SHIFT >= DIRECTORY_COUNT) return 0;
  for (uint64_t page = start >> PAGE_SHIFT; page <= last >> PAGE_SHIFT; page++) {
    uint64_t *directory = address_space_directories[page >> 9];
    if (directory[page & 511] & 1) continue;
    directory[page & 511] =
        page << PAGE_SHIFT | PRESENT_WRITABLE | LARGE | (kind == ADDRESS_DEVICE ? UNCACHED : 0);
    address_space_pointers[page >> 9] = (uint64_t)directory | PRESENT_WRITABLE;
  }
  // Entries that were not present are not cached by the TLB (Intel SDM vol. 3, 4.10.2.3).
  __asm__ volatile("" ::: "memory");
  return 1;
}

uintptr_t address_space_uncached(uintptr_t address) {
  // PCI snoops the caches on every PC: no machine here needs it.
  (void)address;
  return 0;
}

#endif
