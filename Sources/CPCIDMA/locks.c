// SPDX-License-Identifier: Apache-2.0
//
// Locks, and what a thread may do while it holds one. Interrupts are delivered by threads that
// wait, so turning them off is a matter of the calling thread alone.

#include "dma_support.h"
#include "swiftdma_internal.h"
#include "pci_dma_kernel.h"

static __thread unsigned long irqs_off;

int swiftdma_is_atomic(void) {
  return dma_context_lock_depth() != 0 || dma_context_interrupt_depth() != 0;
}

int swiftdma_may_interrupt(void) { return !swiftdma_is_atomic(); }

void swiftdma_call_interrupt(void (*handler)(int, void *, void *), int irq, void *device) {
  dma_context_enter_interrupt();
  handler(irq, device, NULL);
  dma_context_leave_interrupt();
}

int in_interrupt(void) { return dma_context_interrupt_depth() != 0; }

unsigned long swiftdma_irq_state(void) { return irqs_off; }

// Code that runs with interrupts off may wait no more than code that holds a lock.
unsigned long swiftdma_irq_save(void) {
  unsigned long flags = irqs_off;
  if (!irqs_off) dma_context_enter_lock();
  irqs_off = 1;
  return flags;
}

void swiftdma_irq_restore(unsigned long flags) {
  if (irqs_off && flags == 0) dma_context_leave_lock();
  if (!irqs_off && flags != 0) dma_context_enter_lock();
  irqs_off = flags != 0;
}

// A lock's word names its holder, so that taking one's own lock is seen instead of waited for.
static spinlock_t self(void) {
  static uintptr_t last;
  static __thread uintptr_t mine;
  if (mine == 0) mine = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
  return (spinlock_t)mine;
}

void spin_lock_init(spinlock_t *lock) { *lock = SPIN_LOCK_UNLOCKED; }

int spin_trylock(spinlock_t *lock) {
  spinlock_t expected = SPIN_LOCK_UNLOCKED;
  if (!__atomic_compare_exchange_n(lock, &expected, self(), 0, __ATOMIC_ACQUIRE,
                                   __ATOMIC_RELAXED)) {
    return 0;
  }
  dma_context_enter_lock();
  return 1;
}

void spin_lock(spinlock_t *lock) {
  if (__atomic_load_n(lock, __ATOMIC_RELAXED) == self()) {
    panic("a thread takes a spin lock that it holds\n");
  }
  while (!spin_trylock(lock)) dma_cpu_relax();
}

void spin_unlock(spinlock_t *lock) {
  if (__atomic_load_n(lock, __ATOMIC_RELAXED) != self()) {
    panic("a spin lock is given back by a thread that does not hold it\n");
  }
  dma_context_leave_lock();
  __atomic_store_n(lock, SPIN_LOCK_UNLOCKED, __ATOMIC_RELEASE);
}

int spin_is_locked(const spinlock_t *lock) {
  return __atomic_load_n(lock, __ATOMIC_RELAXED) != SPIN_LOCK_UNLOCKED;
}

// A lock of readers and writers: how many readers, or all ones for a writer. Writers do not go first,
// so that a reader may read again.
static int change_readers(rwlock_t *lock, uintptr_t from, uintptr_t to, int order) {
  rwlock_t expected = (rwlock_t)from;
  return __atomic_compare_exchange_n(lock, &expected, (rwlock_t)to, 0, order, __ATOMIC_RELAXED);
}

void read_lock(rwlock_t *lock) {
  for (;;) {
    uintptr_t count = (uintptr_t)__atomic_load_n(lock, __ATOMIC_RELAXED);
    if (count != UINTPTR_MAX && change_readers(lock, count, count + 1, __ATOMIC_ACQUIRE)) break;
    dma_cpu_relax();
  }
  dma_context_enter_lock();
}

void read_unlock(rwlock_t *lock) {
  for (;;) {
    uintptr_t count = (uintptr_t)__atomic_load_n(lock, __ATOMIC_RELAXED);
    if (count == 0 || count == UINTPTR_MAX) panic("a read lock is given back that nobody holds\n");
    if (change_readers(lock, count, count - 1, __ATOMIC_RELEASE)) break;
  }
  dma_context_leave_lock();
}

void write_lock(rwlock_t *lock) {
  while (!change_readers(lock, 0, UINTPTR_MAX, __ATOMIC_ACQUIRE)) dma_cpu_relax();
  dma_context_enter_lock();
}

void write_unlock(rwlock_t *lock) {
  if (!change_readers(lock, UINTPTR_MAX, 0, __ATOMIC_RELEASE)) {
    panic("a write lock is given back that nobody holds\n");
  }
  dma_context_leave_lock();
}

void spin_lock_irq(spinlock_t *lock) {
  (void)swiftdma_irq_save();
  spin_lock(lock);
}

void spin_unlock_irq(spinlock_t *lock) {
  spin_unlock(lock);
  swiftdma_irq_restore(0);
}

void atomic_set(atomic_t *atomic, int value) {
  __atomic_store_n(&atomic->counter, value, __ATOMIC_SEQ_CST);
}
int atomic_read(const atomic_t *atomic) { return __atomic_load_n(&atomic->counter, __ATOMIC_SEQ_CST); }
void atomic_add(int value, atomic_t *atomic) {
  __atomic_fetch_add(&atomic->counter, value, __ATOMIC_SEQ_CST);
}
void atomic_sub(int value, atomic_t *atomic) {
  __atomic_fetch_sub(&atomic->counter, value, __ATOMIC_SEQ_CST);
}
void atomic_inc(atomic_t *atomic) { atomic_add(1, atomic); }
void atomic_dec(atomic_t *atomic) { atomic_sub(1, atomic); }
int atomic_dec_and_test(atomic_t *atomic) {
  return __atomic_sub_fetch(&atomic->counter, 1, __ATOMIC_SEQ_CST) == 0;
}

// Bit n of an array of words, as the kernel counts them.
static volatile unsigned int *word_of(volatile void *word, int number) {
  return (volatile unsigned int *)word + number / 32;
}
static unsigned int bit_of(int number) { return 1u << (number % 32); }

void set_bit(int number, volatile void *word) {
  __atomic_fetch_or(word_of(word, number), bit_of(number), __ATOMIC_SEQ_CST);
}
void clear_bit(int number, volatile void *word) {
  __atomic_fetch_and(word_of(word, number), ~bit_of(number), __ATOMIC_SEQ_CST);
}
int test_bit(int number, const volatile void *word) {
  const volatile unsigned int *words = word;
  return (words[number / 32] & bit_of(number)) != 0;
}
int test_and_set_bit(int number, volatile void *word) {
  return (__atomic_fetch_or(word_of(word, number), bit_of(number), __ATOMIC_SEQ_CST) &
          bit_of(number)) != 0;
}
int test_and_clear_bit(int number, volatile void *word) {
  return (__atomic_fetch_and(word_of(word, number), ~bit_of(number), __ATOMIC_SEQ_CST) &
          bit_of(number)) != 0;
}

void mb(void) { dma_barrier_full(); }
void rmb(void) { dma_barrier_read(); }
void wmb(void) { dma_barrier_write(); }
