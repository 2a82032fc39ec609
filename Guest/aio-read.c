// SPDX-License-Identifier: Apache-2.0
//
// Random reads through the kernel: O_DIRECT, many at once, by Linux's asynchronous I/O
// (io_submit(2)). What `dmatool nvme bench` is compared with.
//
// usage: aio-read DEVICE COUNT DEPTH BYTES; prints reads per second.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t state = 1;

static uint64_t next_random(void) {
  state |= 1;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static uint64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int fail(const char *what) {
  fprintf(stderr, "aio-read: %s: %s\n", what, strerror(errno));
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: aio-read DEVICE COUNT DEPTH BYTES\n");
    return 2;
  }
  long count = atol(argv[2]), depth = atol(argv[3]), bytes = atol(argv[4]);
  if (count < 1 || depth < 1 || depth > 1024 || bytes < 512) return 2;
  int disk = open(argv[1], O_RDONLY | O_DIRECT | O_CLOEXEC);
  if (disk < 0) return fail(argv[1]);
  off_t size = lseek(disk, 0, SEEK_END);
  if (size < bytes) return fail("the device is too small");
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, depth, &context) < 0) return fail("io_setup");

  struct iocb *commands = calloc((size_t)depth, sizeof *commands);
  struct iocb **ready = calloc((size_t)depth, sizeof *ready);
  struct io_event *events = calloc((size_t)depth, sizeof *events);
  char *memory = NULL;
  if (!commands || !ready || !events ||
      posix_memalign((void **)&memory, 4096, (size_t)(depth * bytes)) != 0) {
    return fail("memory");
  }
  memset(memory, 0, (size_t)(depth * bytes));

  uint64_t places = (uint64_t)size / (uint64_t)bytes, begun = nanoseconds();
  long given = 0, done = 0, pending = 0;
  for (long i = 0; i < depth && given < count; i++, given++) {
    commands[i] = (struct iocb){.aio_data = (uint64_t)i,
                                .aio_lio_opcode = IOCB_CMD_PREAD,
                                .aio_fildes = (uint32_t)disk,
                                .aio_buf = (uint64_t)(uintptr_t)(memory + i * bytes),
                                .aio_nbytes = (uint64_t)bytes,
                                .aio_offset = (int64_t)(next_random() % places * (uint64_t)bytes)};
    ready[pending++] = &commands[i];
  }
  while (done < count) {
    for (long sent = 0; sent < pending;) {
      long taken = syscall(SYS_io_submit, context, pending - sent, ready + sent);
      if (taken < 0 && errno != EAGAIN && errno != EINTR) return fail("io_submit");
      if (taken > 0) sent += taken;
    }
    pending = 0;
    long got = syscall(SYS_io_getevents, context, 1, depth, events, NULL);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail("io_getevents");
    for (long i = 0; i < got; i++) {
      if ((int64_t)events[i].res != bytes) {
        errno = (int)-events[i].res;
        return fail("read");
      }
      done++;
      if (given >= count) continue;
      struct iocb *command = &commands[events[i].data];
      command->aio_offset = (int64_t)(next_random() % places * (uint64_t)bytes);
      ready[pending++] = command;
      given++;
    }
  }
  uint64_t spent = nanoseconds() - begun;
  printf("%llu\n", (unsigned long long)((uint64_t)count * 1000000000u / spent));
  return 0;
}
