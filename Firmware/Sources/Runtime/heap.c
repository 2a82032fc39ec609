// SPDX-License-Identifier: Apache-2.0
//
// The heap for Swift's objects: first fit in an address-ordered list of free blocks that are joined
// with their neighbours. DMA memory never comes from here: the page allocator has it.

#include "runtime.h"

#define HEAP_BYTE_COUNT (2 * 1024 * 1024)
#define GRAIN 16

/// In front of every block, free or not; 16 bytes, so payloads keep the alignment.
struct block {
  size_t byte_count; // the header included
  struct block *next; // free blocks only
};

_Static_assert(sizeof(struct block) == GRAIN, "payloads are aligned to the grain");

static uint8_t heap[HEAP_BYTE_COUNT] __attribute__((aligned(4096)));
static struct block *first_free;
static int is_ready;
static size_t used;
static uint64_t allocation_count;

uint64_t runtime_heap_allocation_count(void) { return allocation_count; }
size_t runtime_heap_used(void) { return used; }

static size_t rounded(size_t value, size_t alignment) { return (value + alignment - 1) & ~(alignment - 1); }

int posix_memalign(void **result, size_t alignment, size_t byte_count) {
  if (!is_ready) {
    first_free = (struct block *)heap;
    first_free->byte_count = HEAP_BYTE_COUNT;
    first_free->next = 0;
    is_ready = 1;
  }
  if (alignment < GRAIN) alignment = GRAIN;
  if (alignment & (alignment - 1)) return 22;
  if (byte_count > HEAP_BYTE_COUNT) return 12;
  size_t needed = rounded(byte_count ? byte_count : 1, GRAIN) + GRAIN;
  for (struct block **link = &first_free; *link; link = &(*link)->next) {
    struct block *candidate = *link;
    uintptr_t end = (uintptr_t)candidate + candidate->byte_count;
    uintptr_t payload = rounded((uintptr_t)candidate + GRAIN, alignment);
    if (payload < end && end - payload >= needed - GRAIN) {
      struct block *taken = (struct block *)(payload - GRAIN);
      struct block *next = candidate->next;
      size_t after = end - (payload - GRAIN) - needed;
      if (after >= 2 * GRAIN) {
        struct block *rest = (struct block *)((uintptr_t)taken + needed);
        rest->byte_count = after;
        rest->next = next;
        next = rest;
      } else {
        needed += after;
      }
      if (taken == candidate) {
        *link = next;
      } else {
        candidate->byte_count = (uintptr_t)taken - (uintptr_t)candidate;
        candidate->next = next;
      }
      taken->byte_count = needed;
      used += needed;
      allocation_count++;
      *result = (void *)payload;
      return 0;
    }
  }
  return 12;
}

static void join(struct block *left) {
  struct block *right = left->next;
  if (right && (uintptr_t)left + left->byte_count == (uintptr_t)right) {
    left->byte_count += right->byte_count;
    left->next = right->next;
  }
}

void free(void *payload) {
  if (!payload) return;
  struct block *freed = (struct block *)((uintptr_t)payload - GRAIN);
  used -= freed->byte_count;
  struct block *before = 0;
  struct block *after = first_free;
  while (after && after < freed) {
    before = after;
    after = after->next;
  }
  freed->next = after;
  join(freed);
  if (before) {
    before->next = freed;
    join(before);
  } else {
    first_free = freed;
  }
}
