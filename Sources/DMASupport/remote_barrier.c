// SPDX-License-Identifier: Apache-2.0

#include "dma_support.h"

#if defined(__linux__)

#include <sys/syscall.h>
#include <unistd.h>

// The kernel's interface (linux/membarrier.h, since 4.14); the numbers never change.
enum { PRIVATE_EXPEDITED = 1 << 3, REGISTER_PRIVATE_EXPEDITED = 1 << 4 };

int dma_remote_barrier_prepare(void) {
  return syscall(SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

int dma_remote_barrier(void) {
  if (syscall(SYS_membarrier, PRIVATE_EXPEDITED, 0, 0) == 0) return 1;
  // A process that was forked off may have to register itself.
  return dma_remote_barrier_prepare() && syscall(SYS_membarrier, PRIVATE_EXPEDITED, 0, 0) == 0;
}

#elif DMA_HAS_THREADS

int dma_remote_barrier_prepare(void) { return 0; }
int dma_remote_barrier(void) { return 0; }

#else

// One core, no threads: there is nobody else. A port with more cores says here what it can.
int dma_remote_barrier_prepare(void) { return 1; }
int dma_remote_barrier(void) { return 1; }

#endif
