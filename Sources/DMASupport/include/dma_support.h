// SPDX-License-Identifier: Apache-2.0
//
// What Swift cannot say: accesses the optimiser must keep as they are written, barriers that
// order memory against a device, cache maintenance, and per-thread words.
//
// Everything is `always_inline`: under -ffreestanding, clang does not inline plain `static inline`
// functions into Swift, and a register access would become a call.

#ifndef DMA_SUPPORT_H
#define DMA_SUPPORT_H

#include <stddef.h>
#include <stdint.h>

#define DMA_INLINE static inline __attribute__((always_inline))

// MARK: Volatile words. One access of exactly this width, in program order with other volatiles.

DMA_INLINE uint8_t dma_volatile_load8(uintptr_t address) { return *(const volatile uint8_t *)address; }
DMA_INLINE uint16_t dma_volatile_load16(uintptr_t address) { return *(const volatile uint16_t *)address; }
DMA_INLINE uint32_t dma_volatile_load32(uintptr_t address) { return *(const volatile uint32_t *)address; }
DMA_INLINE uint64_t dma_volatile_load64(uintptr_t address) { return *(const volatile uint64_t *)address; }
DMA_INLINE void dma_volatile_store8(uintptr_t address, uint8_t value) { *(volatile uint8_t *)address = value; }
DMA_INLINE void dma_volatile_store16(uintptr_t address, uint16_t value) { *(volatile uint16_t *)address = value; }
DMA_INLINE void dma_volatile_store32(uintptr_t address, uint32_t value) { *(volatile uint32_t *)address = value; }
DMA_INLINE void dma_volatile_store64(uintptr_t address, uint64_t value) { *(volatile uint64_t *)address = value; }

// MARK: Barriers between memory and a device (not only between CPUs).
//
// aarch64: DSB-strength ordering is not needed against coherent memory; `dmb osh*` orders accesses
// as seen by outer-shareable observers, devices included (Arm ARM B2.3).
// riscv64: `fence` with i/o bits orders device accesses too (RISC-V ISA, "Memory Ordering").
// x86_64: stores are not reordered with stores nor loads with loads for write-back memory, so the
// compiler barrier is enough for read and write; full needs MFENCE (Intel SDM vol. 3, 9.2.2).

DMA_INLINE void dma_barrier_write(void) {
#if defined(__aarch64__)
  __asm__ volatile("dmb oshst" ::: "memory");
#elif defined(__riscv)
  __asm__ volatile("fence ow, ow" ::: "memory");
#elif defined(__x86_64__) || defined(__i386__)
  __asm__ volatile("" ::: "memory");
#else
  __sync_synchronize();
#endif
}

DMA_INLINE void dma_barrier_read(void) {
#if defined(__aarch64__)
  __asm__ volatile("dmb oshld" ::: "memory");
#elif defined(__riscv)
  __asm__ volatile("fence ir, ir" ::: "memory");
#elif defined(__x86_64__) || defined(__i386__)
  __asm__ volatile("" ::: "memory");
#else
  __sync_synchronize();
#endif
}

DMA_INLINE void dma_barrier_full(void) {
#if defined(__aarch64__)
  __asm__ volatile("dsb sy" ::: "memory");
#elif defined(__riscv)
  __asm__ volatile("fence iorw, iorw" ::: "memory");
#elif defined(__x86_64__)
  __asm__ volatile("mfence" ::: "memory");
#else
  __sync_synchronize();
#endif
}

/// Tells the CPU that this is a waiting loop.
DMA_INLINE void dma_cpu_relax(void) {
#if defined(__aarch64__)
  __asm__ volatile("yield" ::: "memory");
#elif defined(__x86_64__) || defined(__i386__)
  __asm__ volatile("pause" ::: "memory");
#else
  __asm__ volatile("" ::: "memory");
#endif
}

/// Ticks of a counter that is quick to read and runs on, at any rate; 0 where there is none.
DMA_INLINE uint64_t dma_counter(void) {
#if defined(__aarch64__)
  uint64_t ticks;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#elif defined(__x86_64__) || defined(__i386__)
  return __builtin_ia32_rdtsc();
#else
  return 0;
#endif
}

/// Ticks of dma_counter that are no longer than about two microseconds; 0 where there are none.
DMA_INLINE uint64_t dma_counter_moment(void) {
#if defined(__aarch64__)
  uint64_t frequency;
  __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(frequency));
  return frequency / 1000000;
#elif defined(__x86_64__) || defined(__i386__)
  return 2048;  // The rate is the CPU's nominal one, 1 GHz or more.
#else
  return 0;
#endif
}

/// Asks for a cache line that is written soon. Any address will do.
DMA_INLINE void dma_prefetch(uintptr_t address) { __builtin_prefetch((const void *)address, 1); }

/// How large a large page is where the host has them and a program may ask for them; else 0.
uintptr_t dma_large_page_byte_count(void);

/// Asks for large pages behind memory that is aligned to them; only a wish.
void dma_prefer_large_pages(void *start, uintptr_t byte_count);

// MARK: What each thread (where there are threads) or each core carries.

/// Per-thread state: its slot for per-thread caches, and the nesting that makes it atomic.
struct dma_thread_state {
  /// 1 ... DMA_THREAD_SLOT_COUNT - 1 once claimed; 0 while unclaimed or when all are taken.
  uint32_t slot;
  /// Spin locks held.
  uint32_t lock_depth;
  /// Interrupt handlers being run.
  uint32_t interrupt_depth;
  /// Whether claiming a slot was already tried.
  uint32_t slot_tried;
};

/// How many per-thread slots there are. Slot 0 is shared by every thread beyond the others.
#define DMA_THREAD_SLOT_COUNT 64

#if defined(__linux__) || defined(__APPLE__)
#define DMA_HAS_THREADS 1
// Initial-exec: one %fs-relative load and no call, in executables and in libraries loaded at start.
extern __thread struct dma_thread_state dma_thread_state_current
    __attribute__((tls_model("initial-exec")));
#else
#define DMA_HAS_THREADS 0
extern struct dma_thread_state dma_thread_state_current;
#endif

/// Claims a slot for the calling thread and returns it; 0 when all are taken.
uint32_t dma_thread_slot_claim(void);

/// The calling thread's slot: its own, or 0, which is shared.
DMA_INLINE uint32_t dma_thread_slot(void) {
  if (__builtin_expect(dma_thread_state_current.slot_tried == 0, 0)) return dma_thread_slot_claim();
  return dma_thread_state_current.slot;
}

/// The calling thread's slot if it has claimed one; 0 otherwise. Never claims.
DMA_INLINE uint32_t dma_thread_slot_claimed(void) { return dma_thread_state_current.slot; }

/// A number of the calling thread's that no other living thread has; not 0. One for all where there
/// are no threads.
DMA_INLINE uintptr_t dma_thread_mark(void) { return (uintptr_t)&dma_thread_state_current; }

// MARK: A fence whose cost is all on one side.
//
// Two parties each write their own flag, then read the other's. Both sides need a full fence, or
// both may miss the other. Where one side runs millions of times for each time of the other, the
// rare side can pay for both: membarrier(2) makes every thread of the process execute a fence.

#if DMA_HAS_THREADS
/// Not zero once the process is registered for membarrier; decided before any slot is known.
extern uint32_t dma_fence_is_asymmetric;
#endif

/// The frequent side: nothing but a compiler barrier where the rare side fences for it. The caller
/// has called dma_thread_slot().
DMA_INLINE void dma_fence_light(void) {
#if DMA_HAS_THREADS
  if (__builtin_expect(dma_fence_is_asymmetric == 0, 0)) __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
  __asm__ volatile("" ::: "memory");
}

/// Whether dma_fence_light is a compiler barrier and nothing else. The caller has called
/// dma_thread_slot(), then or before.
DMA_INLINE int dma_fence_light_is_free(void) {
#if DMA_HAS_THREADS
  return dma_fence_is_asymmetric != 0;
#else
  return 1;
#endif
}

/// dma_fence_light for who knows that it is free.
DMA_INLINE void dma_fence_light_free(void) { __asm__ volatile("" ::: "memory"); }

/// The rare side: after it, every other thread has seen what was written before it, or has written
/// what it had in flight. Microseconds.
void dma_fence_heavy(void);

DMA_INLINE uint32_t dma_context_lock_depth(void) { return dma_thread_state_current.lock_depth; }
DMA_INLINE uint32_t dma_context_interrupt_depth(void) { return dma_thread_state_current.interrupt_depth; }
DMA_INLINE void dma_context_enter_lock(void) { dma_thread_state_current.lock_depth += 1; }
DMA_INLINE void dma_context_leave_lock(void) { dma_thread_state_current.lock_depth -= 1; }
DMA_INLINE void dma_context_enter_interrupt(void) { dma_thread_state_current.interrupt_depth += 1; }
DMA_INLINE void dma_context_leave_interrupt(void) { dma_thread_state_current.interrupt_depth -= 1; }

#endif
