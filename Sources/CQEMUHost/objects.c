// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "qemu_host.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

int qemu_host_memory_create(const char *name, uint64_t size) {
  int memory = memfd_create(name, MFD_CLOEXEC);
  if (memory < 0) return -errno;
  if (ftruncate(memory, (off_t)size) != 0) {
    int code = errno;
    close(memory);
    return -code;
  }
  return memory;
}

int qemu_host_socket_pair(int *ours, int *theirs) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return -errno;
  if (fcntl(pair[0], F_SETFL, O_RDWR | O_NONBLOCK) != 0) {
    int code = errno;
    close(pair[0]);
    close(pair[1]);
    return -code;
  }
  *ours = pair[0];
  *theirs = pair[1];
  return 0;
}
