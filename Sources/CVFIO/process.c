// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "vfio_host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif

int vfio_host_event_create(void) {
  int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return event < 0 ? -errno : event;
}

int vfio_host_event_take(int event) {
  uint64_t count;
  ssize_t got;
  do {
    got = read(event, &count, sizeof count);
  } while (got < 0 && errno == EINTR);
  return got == (ssize_t)sizeof count;
}

void vfio_host_retire(int descriptor) {
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nothing < 0) return;
  dup3(nothing, descriptor, O_CLOEXEC);
  close(nothing);
}

void vfio_host_wait(const int32_t *descriptors, size_t count, uint64_t nanoseconds) {
  struct pollfd polled[64];
  if (count > 64) count = 64;
  for (size_t i = 0; i < count; i++) {
    polled[i] = (struct pollfd){.fd = descriptors[i], .events = POLLIN};
  }
  struct timespec limit = {.tv_sec = (time_t)(nanoseconds / 1000000000),
                           .tv_nsec = (long)(nanoseconds % 1000000000)};
  // Cut short by a signal: as good.
  ppoll(polled, count, &limit, NULL);
}

uintptr_t vfio_host_file_map(int file, uint64_t offset, uint64_t size, int *code) {
  void *place = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)offset);
  *code = place == MAP_FAILED ? errno : 0;
  return place == MAP_FAILED ? 0 : (uintptr_t)place;
}

uintptr_t vfio_host_memory_create(uint64_t size, uint64_t alignment, int huge, int *code) {
  // Address space for the next aligned start, then the memory into it.
  uint64_t room = size + alignment;
  char *reserved = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) {
    *code = errno;
    return 0;
  }
  char *start = (char *)(((uintptr_t)reserved + alignment - 1) & ~(uintptr_t)(alignment - 1));
  int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED | (huge ? MAP_HUGETLB | MAP_HUGE_2MB : 0);
  if (mmap(start, size, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED ||
      madvise(start, size, MADV_DONTFORK) != 0) {
    *code = errno;
    munmap(reserved, room);
    return 0;
  }
  if (start > reserved) munmap(reserved, (size_t)(start - reserved));
  if (reserved + room > start + size) {
    munmap(start + size, (size_t)(reserved + room - (start + size)));
  }
  *code = 0;
  return (uintptr_t)start;
}

void vfio_host_memory_end(uintptr_t address, uint64_t size) { munmap((void *)address, size); }

int vfio_host_memory_keep(uintptr_t address, uint64_t size, int keep) {
  return madvise((void *)address, size, keep ? MADV_DONTFORK : MADV_DOFORK) == 0 ? 0 : -errno;
}

int vfio_host_memory_lock(uintptr_t address, uint64_t size) {
  return mlock((void *)address, size) == 0 ? 0 : -errno;
}

void vfio_host_memory_clear(uintptr_t address, uint64_t size) { memset((void *)address, 0, size); }

static _Atomic uint32_t fork_count;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void after_fork(void) { atomic_fetch_add_explicit(&fork_count, 1, memory_order_relaxed); }
static void watch_forks(void) { pthread_atfork(NULL, NULL, after_fork); }

uint32_t vfio_host_fork_count(void) {
  pthread_once(&fork_once, watch_forks);
  return atomic_load_explicit(&fork_count, memory_order_relaxed);
}

int vfio_host_stack_bounds(uintptr_t *first, uint64_t *size) {
  pthread_attr_t attributes;
  int code = pthread_getattr_np(pthread_self(), &attributes);
  if (code != 0) return -code;
  void *start = NULL;
  size_t length = 0;
  code = pthread_attr_getstack(&attributes, &start, &length);
  pthread_attr_destroy(&attributes);
  *first = (uintptr_t)start;
  *size = length;
  return -code;
}

uint64_t vfio_host_memory_lock_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return 0;
  return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit.rlim_cur;
}
