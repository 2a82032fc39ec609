// SPDX-License-Identifier: Apache-2.0
//
// The host's calls as Embedded Swift can make them: numbers in, numbers or -errno out.

#define _GNU_SOURCE
#include "qemu_host.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void qemu_host_close(int descriptor) { close(descriptor); }

int64_t qemu_host_write_at(int descriptor, const void *bytes, size_t count, uint64_t offset) {
  ssize_t written = pwrite(descriptor, bytes, count, (off_t)offset);
  return written < 0 ? -(int64_t)errno : written;
}

int64_t qemu_host_send(int socket, const void *bytes, size_t count) {
  ssize_t sent = send(socket, bytes, count, MSG_NOSIGNAL);
  return sent < 0 ? -(int64_t)errno : sent;
}

int64_t qemu_host_receive(int socket, void *bytes, size_t count) {
  ssize_t received = recv(socket, bytes, count, 0);
  return received < 0 ? -(int64_t)errno : received;
}

int qemu_host_poll(int socket, int for_output, int milliseconds) {
  struct pollfd descriptor = {.fd = socket, .events = for_output ? POLLOUT : POLLIN};
  return poll(&descriptor, 1, milliseconds) > 0;
}

uint64_t qemu_host_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void qemu_host_pause(uint64_t nanoseconds) {
  if (nanoseconds == 0) {
    sched_yield();
    return;
  }
  struct timespec length = {.tv_sec = (time_t)(nanoseconds / 1000000000u),
                            .tv_nsec = (long)(nanoseconds % 1000000000u)};
  // Cut short by a signal: as good.
  nanosleep(&length, NULL);
}

int qemu_host_own_process_id(void) { return getpid(); }

uint64_t qemu_host_random(void) {
  uint64_t value = 0;
  // Eight bytes come whole; without the call, the clock still differs between machines.
  if (getrandom(&value, sizeof(value), 0) != sizeof(value)) value = qemu_host_nanoseconds();
  return value;
}

int qemu_host_is_executable(const char *path) {
  struct stat information;
  // A folder may have the execute bit too.
  return stat(path, &information) == 0 && S_ISREG(information.st_mode) && access(path, X_OK) == 0;
}

const char *qemu_host_search_path(void) { return getenv("PATH"); }

void *qemu_host_lock_create(void) {
  pthread_mutex_t *lock = malloc(sizeof(*lock));
  if (lock == NULL) abort();
  pthread_mutex_init(lock, NULL);
  return lock;
}

void qemu_host_lock_destroy(void *lock) {
  pthread_mutex_destroy(lock);
  free(lock);
}

void qemu_host_lock(void *lock) { pthread_mutex_lock(lock); }
void qemu_host_unlock(void *lock) { pthread_mutex_unlock(lock); }
