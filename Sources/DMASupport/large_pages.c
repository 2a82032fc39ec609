// SPDX-License-Identifier: Apache-2.0

#if defined(__linux__)
#define _DEFAULT_SOURCE
#endif
#include "dma_support.h"

#if defined(__linux__)

#include <sys/mman.h>

uintptr_t dma_large_page_byte_count(void) { return (uintptr_t)2 << 20; }

void dma_prefer_large_pages(void *start, uintptr_t byte_count) {
#ifdef MADV_HUGEPAGE
  // Refused by kernels without them, and where an administrator said "never".
  (void)madvise(start, byte_count, MADV_HUGEPAGE);
#else
  (void)start, (void)byte_count;
#endif
}

#else

uintptr_t dma_large_page_byte_count(void) { return 0; }

void dma_prefer_large_pages(void *start, uintptr_t byte_count) { (void)start, (void)byte_count; }

#endif
