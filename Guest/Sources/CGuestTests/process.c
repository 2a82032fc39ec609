// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "guest_process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int guest_fork(void) { return fork(); }

int guest_wait(int process) {
  int status = 0;
  while (waitpid(process, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int guest_drop_privileges(unsigned user) {
  if (setgroups(0, NULL) != 0 || setresgid(user, user, user) != 0) return -errno;
  return setresuid(user, user, user) == 0 ? 0 : -errno;
}

static uintptr_t address(void *place) { return place == MAP_FAILED ? 0 : (uintptr_t)place; }

uintptr_t guest_memory(size_t size) {
  return address(
      mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

int guest_memory_replace(uintptr_t place, size_t size) {
  void *fresh = mmap((void *)place, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  return fresh == MAP_FAILED ? -errno : 0;
}

uintptr_t guest_memory_of_file(const char *path, size_t size, int shared) {
  int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, (off_t)size) != 0) return 0;
  void *place =
      mmap(NULL, size, PROT_READ | PROT_WRITE, shared ? MAP_SHARED : MAP_PRIVATE, file, 0);
  close(file);
  return address(place);
}
