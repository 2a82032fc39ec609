// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE

#include "simulated_host.h"

#include <link.h>
#include <pthread.h>

// Asking is slow for the main thread, and the answer never changes.
static __thread uintptr_t stack_start;
static __thread size_t stack_size;

int simulated_host_is_stack(uintptr_t address) {
  if (stack_size == 0) {
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return 0;
    void *start = NULL;
    size_t size = 0;
    int status = pthread_attr_getstack(&attributes, &start, &size);
    pthread_attr_destroy(&attributes);
    if (status != 0) return 0;
    stack_start = (uintptr_t)start;
    stack_size = size;
  }
  return address >= stack_start && address - stack_start < stack_size;
}

static int contains(struct dl_phdr_info *info, size_t size, void *wanted) {
  (void)size;
  uintptr_t address = *(const uintptr_t *)wanted;
  for (int index = 0; index < info->dlpi_phnum; index++) {
    const ElfW(Phdr) *part = &info->dlpi_phdr[index];
    uintptr_t start = info->dlpi_addr + part->p_vaddr;
    if (part->p_type == PT_LOAD && address >= start && address - start < part->p_memsz) return 1;
  }
  return 0;
}

int simulated_host_is_image(uintptr_t address) { return dl_iterate_phdr(contains, &address); }
