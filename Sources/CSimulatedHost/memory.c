// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE

#include "simulated_host.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int simulated_host_memory_create(uint64_t size) {
  int memory = memfd_create("simulated-ram", MFD_CLOEXEC);
  if (memory < 0) return -errno;
  if (ftruncate(memory, (off_t)size) != 0) {
    int error = errno;
    close(memory);
    return -error;
  }
  return memory;
}

void simulated_host_memory_close(int memory) { close(memory); }

int simulated_host_memory_punch(int memory, uint64_t offset, uint64_t size) {
  int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  while (fallocate(memory, mode, (off_t)offset, (off_t)size) != 0) {
    if (errno != EINTR) return -errno;
  }
  return 0;
}

uintptr_t simulated_host_reserve(uint64_t size, uint64_t alignment) {
  uint64_t whole = size + alignment - 4096;
  if (whole < size) return 0;
  void *at = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return 0;
  uintptr_t start = ((uintptr_t)at + alignment - 1) & ~(uintptr_t)(alignment - 1);
  uintptr_t before = start - (uintptr_t)at;
  if (before != 0) munmap(at, before);
  if (whole - before > size) munmap((void *)(start + size), whole - before - size);
  return start;
}

int simulated_host_map(uintptr_t at, uint64_t size, int memory, uint64_t offset) {
  int flags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE;
  void *got = mmap((void *)at, size, PROT_READ | PROT_WRITE, flags, memory, (off_t)offset);
  if (got == MAP_FAILED) return -errno;
  // Huge pages would make a sparse machine dense. Hosts without them refuse the hint.
  (void)madvise(got, size, MADV_NOHUGEPAGE);
  return 0;
}

void simulated_host_hide(uintptr_t at, uint64_t size) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
  (void)mmap((void *)at, size, PROT_NONE, flags, -1, 0);
}

void simulated_host_release(uintptr_t at, uint64_t size) { (void)munmap((void *)at, size); }

uintptr_t simulated_host_private(uint64_t size) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (at == MAP_FAILED) return 0;
  (void)madvise(at, size, MADV_NOHUGEPAGE);
  return (uintptr_t)at;
}

void simulated_host_copy(uintptr_t to, uintptr_t from, size_t byte_count) {
  memcpy((void *)to, (const void *)from, byte_count);
}

void simulated_host_device_read(uintptr_t to, uintptr_t ram, size_t byte_count) {
  // A read pushes the writes before it (PCI 3.0, 3.2.5, rule 1), and none after it comes earlier.
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  memcpy((void *)to, (const void *)ram, byte_count);
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
}

void simulated_host_device_write(uintptr_t ram, uintptr_t from, size_t byte_count) {
  // Writes are seen in the order in which they were made.
  __atomic_thread_fence(__ATOMIC_RELEASE);
  memcpy((void *)ram, (const void *)from, byte_count);
}

void simulated_host_fill(uintptr_t at, uint8_t value, size_t byte_count) {
  memset((void *)at, value, byte_count);
}

void simulated_host_drop(uintptr_t at, uint64_t size) {
  // Where the host refuses, the bytes must read as zero all the same.
  if (madvise((void *)at, size, MADV_DONTNEED) != 0) memset((void *)at, 0, size);
}

enum { line = 64 };

void simulated_host_clean_lines(uintptr_t cache, uintptr_t common, uintptr_t memory, size_t size) {
  for (size_t offset = 0; offset < size; offset += line) {
    const void *current = (const void *)(cache + offset);
    if (memcmp(current, (const void *)(common + offset), line) == 0) continue;
    memcpy((void *)(memory + offset), current, line);
    memcpy((void *)(common + offset), current, line);
  }
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void simulated_host_drop_lines(uintptr_t cache, uintptr_t common, uintptr_t memory, size_t size) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  for (size_t offset = 0; offset < size; offset += line) {
    const void *current = (const void *)(memory + offset);
    // Most lines are equal: pages that are only read cost the host nothing.
    if (memcmp((const void *)(cache + offset), current, line) != 0) {
      memcpy((void *)(cache + offset), current, line);
    }
    if (memcmp((const void *)(common + offset), current, line) != 0) {
      memcpy((void *)(common + offset), current, line);
    }
  }
}
