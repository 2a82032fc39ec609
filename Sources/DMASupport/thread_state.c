// SPDX-License-Identifier: Apache-2.0

#include "dma_support.h"

#if DMA_HAS_THREADS

#include <pthread.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

// From linux/membarrier.h, which not every C library's headers bring along.
#define DMA_MEMBARRIER_PRIVATE_EXPEDITED (1 << 3)
#define DMA_MEMBARRIER_REGISTER_PRIVATE_EXPEDITED (1 << 4)
#endif

__thread struct dma_thread_state dma_thread_state_current;

// One bit a slot; slot 0 is never handed out.
static uint64_t slots_taken = 1;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key;

_Static_assert(DMA_THREAD_SLOT_COUNT == 64, "one word of bits holds every slot");

static void release_slot(void *value) {
  uint64_t bit = (uint64_t)1 << (uintptr_t)value;
  __atomic_fetch_and(&slots_taken, ~bit, __ATOMIC_RELEASE);
  // A destructor that runs after this one may still map: it then shares slot 0.
  dma_thread_state_current.slot = 0;
}

uint32_t dma_fence_is_asymmetric;

static void make_key(void) {
  pthread_key_create(&exit_key, release_slot);
#if defined(__linux__) && defined(SYS_membarrier)
  // A kernel without it, or a sandbox that forbids it: both sides fence for themselves.
  dma_fence_is_asymmetric = syscall(SYS_membarrier, DMA_MEMBARRIER_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
#endif
}

void dma_fence_heavy(void) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
#if defined(__linux__) && defined(SYS_membarrier)
  if (dma_fence_is_asymmetric) {
    syscall(SYS_membarrier, DMA_MEMBARRIER_PRIVATE_EXPEDITED, 0, 0);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
  }
#endif
}

uint32_t dma_thread_slot_claim(void) {
  dma_thread_state_current.slot_tried = 1;
  pthread_once(&key_once, make_key);
  uint64_t taken = __atomic_load_n(&slots_taken, __ATOMIC_RELAXED);
  while (~taken != 0) {
    uint32_t slot = (uint32_t)__builtin_ctzll(~taken);
    uint64_t with = taken | ((uint64_t)1 << slot);
    // Acquire pairs with the release in release_slot: caches left by the slot's last thread are seen.
    if (__atomic_compare_exchange_n(&slots_taken, &taken, with, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
      if (pthread_setspecific(exit_key, (void *)(uintptr_t)slot) != 0) {
        __atomic_fetch_and(&slots_taken, ~((uint64_t)1 << slot), __ATOMIC_RELEASE);
        return 0;
      }
      dma_thread_state_current.slot = slot;
      return slot;
    }
  }
  return 0;
}

#else

// One core sees its own stores in order. A port with more cores makes both sides full fences.
void dma_fence_heavy(void) { __asm__ volatile("" ::: "memory"); }

// No threads: one core, one state. A port with more cores gives each its own and says so here.
struct dma_thread_state dma_thread_state_current;

uint32_t dma_thread_slot_claim(void) {
  dma_thread_state_current.slot_tried = 1;
  dma_thread_state_current.slot = 1;
  return 1;
}

#endif
