// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE

#include "guard_pages.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

enum { range_max = 64, touch_max = 1024 };

// A range is used while its size is not zero; the handler reads both without a lock.
static struct {
  _Atomic(uintptr_t) start;
  _Atomic(size_t) size;
} ranges[range_max];

// A ring that any thread's handler fills: a slot is ready when its sequence says so.
static struct {
  struct guard_touch touch;
  _Atomic(uint64_t) sequence;
} touches[touch_max];
static _Atomic(uint64_t) touch_head;
static _Atomic(uint64_t) touch_tail;
static _Atomic(uint64_t) touch_lost;

static pthread_mutex_t setup_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t take_lock = PTHREAD_MUTEX_INITIALIZER;
static int is_installed;
static struct sigaction previous;
static uintptr_t page_mask = 4095;

static int is_guarded(uintptr_t address) {
  for (int index = 0; index < range_max; index++) {
    size_t size = atomic_load_explicit(&ranges[index].size, memory_order_acquire);
    uintptr_t start = atomic_load_explicit(&ranges[index].start, memory_order_relaxed);
    if (size != 0 && address - start < size) return 1;
  }
  return 0;
}

static uintptr_t instruction_of(const ucontext_t *context) {
#if defined(__x86_64__)
  return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
  return (uintptr_t)context->uc_mcontext.pc;
#elif defined(__riscv)
  return (uintptr_t)context->uc_mcontext.__gregs[REG_PC];
#else
  (void)context;
  return 0;
#endif
}

static int32_t is_write(const ucontext_t *context) {
#if defined(__x86_64__)
  // Bit 1 of the page fault's error code (Intel SDM vol. 3, 4.7).
  return (context->uc_mcontext.gregs[REG_ERR] & 2) != 0;
#else
  (void)context;
  return -1;
#endif
}

static void note(uintptr_t address, const ucontext_t *context) {
  uint64_t head = atomic_load(&touch_head);
  for (;;) {
    if (head - atomic_load(&touch_tail) >= touch_max) {
      atomic_fetch_add(&touch_lost, 1);
      return;
    }
    if (atomic_compare_exchange_weak(&touch_head, &head, head + 1)) break;
  }
  struct guard_touch *touch = &touches[head % touch_max].touch;
  touch->address = address;
  touch->instruction = instruction_of(context);
  touch->is_write = is_write(context);
  // Releasing: who sees the sequence sees the touch.
  atomic_store_explicit(&touches[head % touch_max].sequence, head + 1, memory_order_release);
}

static void pass_on(int number, siginfo_t *information, void *context) {
  if ((previous.sa_flags & SA_SIGINFO) != 0 && previous.sa_sigaction != NULL) {
    previous.sa_sigaction(number, information, context);
    return;
  }
  if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(number);
    return;
  }
  // The instruction runs again and ends the program, as it would have without us.
  signal(number, SIG_DFL);
}

static void handle(int number, siginfo_t *information, void *context) {
  int error = errno;
  uintptr_t address = (uintptr_t)information->si_addr;
  if (information->si_code != SEGV_ACCERR || !is_guarded(address)) {
    pass_on(number, information, context);
    errno = error;
    return;
  }
  // mprotect is a plain system call: it may be made here. Somebody else may have opened the page
  // meanwhile, which is as well.
  uintptr_t page = address & ~page_mask;
  if (mprotect((void *)page, page_mask + 1, PROT_READ | PROT_WRITE) != 0) {
    pass_on(number, information, context);
  } else {
    note(address, context);
  }
  errno = error;
}

int guard_add_range(uintptr_t start, size_t size) {
  if (size == 0) return -EINVAL;
  pthread_mutex_lock(&setup_lock);
  int result = -ENOSPC;
  if (!is_installed) {
    page_mask = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGSEGV, &action, &previous) != 0) {
      result = -errno;
      pthread_mutex_unlock(&setup_lock);
      return result;
    }
    is_installed = 1;
  }
  for (int index = 0; index < range_max; index++) {
    if (atomic_load(&ranges[index].size) != 0) continue;
    atomic_store(&ranges[index].start, start);
    atomic_store_explicit(&ranges[index].size, size, memory_order_release);
    result = 0;
    break;
  }
  pthread_mutex_unlock(&setup_lock);
  return result;
}

void guard_remove_range(uintptr_t start) {
  pthread_mutex_lock(&setup_lock);
  for (int index = 0; index < range_max; index++) {
    if (atomic_load(&ranges[index].size) == 0 || atomic_load(&ranges[index].start) != start) continue;
    atomic_store(&ranges[index].size, 0);
    break;
  }
  pthread_mutex_unlock(&setup_lock);
}

int guard_set(uintptr_t start, size_t size, enum guard_access access) {
  int protection = access == guard_none ? PROT_NONE
                   : access == guard_read ? PROT_READ
                                          : PROT_READ | PROT_WRITE;
  return mprotect((void *)start, size, protection) == 0 ? 0 : -errno;
}

int guard_is_pending(void) {
  return atomic_load_explicit(&touch_head, memory_order_relaxed) !=
         atomic_load_explicit(&touch_tail, memory_order_relaxed);
}

int guard_take(struct guard_touch *touch) {
  pthread_mutex_lock(&take_lock);
  uint64_t tail = atomic_load(&touch_tail);
  int is_ready = tail != atomic_load(&touch_head) &&
                 atomic_load_explicit(&touches[tail % touch_max].sequence, memory_order_acquire) ==
                     tail + 1;
  if (is_ready) {
    *touch = touches[tail % touch_max].touch;
    atomic_store(&touch_tail, tail + 1);
  }
  pthread_mutex_unlock(&take_lock);
  return is_ready;
}

uint64_t guard_lost_count(void) { return atomic_load(&touch_lost); }

size_t guard_describe(uintptr_t instruction, char *text, size_t size) {
  Dl_info information;
  int length;
  if (dladdr((void *)instruction, &information) == 0 || information.dli_fname == NULL) {
    length = snprintf(text, size, "unknown code");
  } else {
    const char *name = strrchr(information.dli_fname, '/');
    name = name == NULL ? information.dli_fname : name + 1;
    size_t offset = instruction - (uintptr_t)information.dli_fbase;
    length = information.dli_sname == NULL
                 ? snprintf(text, size, "%s+0x%zx", name, offset)
                 : snprintf(text, size, "%s+0x%zx (%s)", name, offset, information.dli_sname);
  }
  if (length < 0) return 0;
  return (size_t)length < size ? (size_t)length : size - 1;
}
