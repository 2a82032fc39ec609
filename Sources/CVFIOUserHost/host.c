// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "vfio_user_host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int vfio_user_host_connect(const char *path, int milliseconds) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(path);
  if (length == 0) return -EINVAL;
  if (length >= sizeof address.sun_path) return -ENAMETOOLONG;
  memcpy(address.sun_path, path, length + 1);
  int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (server < 0) return -errno;
  for (;;) {
    if (connect(server, (const struct sockaddr *)&address, sizeof address) == 0) return server;
    // A full backlog: there is nothing to poll for.
    if ((errno != EAGAIN && errno != EINTR) || milliseconds <= 0) break;
    struct timespec pause = {0, 5 * 1000000};
    nanosleep(&pause, NULL);
    milliseconds -= 5;
  }
  int code = errno;
  close(server);
  return -code;
}

long vfio_user_host_send(int socket, const void *bytes, size_t count, const int *descriptors,
                         size_t descriptor_count) {
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int) * vfio_user_host_descriptors_max)];
  } control;
  if (descriptor_count > vfio_user_host_descriptors_max) return -EINVAL;
  struct iovec part = {(void *)bytes, count};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (descriptor_count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.space;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptor_count);
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * descriptor_count);
    memcpy(CMSG_DATA(rights), descriptors, sizeof(int) * descriptor_count);
  }
  for (;;) {
    ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return sent;
    if (errno != EINTR) return -errno;
  }
}

long vfio_user_host_receive(int socket, void *bytes, size_t count, int *descriptors,
                            size_t *descriptor_count) {
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int) * vfio_user_host_descriptors_max)];
  } control;
  struct iovec part = {bytes, count};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control.space,
                           .msg_controllen = sizeof control.space};
  *descriptor_count = 0;
  ssize_t received;
  do {
    received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return -errno;
  for (struct cmsghdr *rights = CMSG_FIRSTHDR(&message); rights != NULL;
       rights = CMSG_NXTHDR(&message, rights)) {
    if (rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS) continue;
    size_t more = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    size_t room = vfio_user_host_descriptors_max - *descriptor_count;
    if (more > room) more = room;
    memcpy(descriptors + *descriptor_count, CMSG_DATA(rights), more * sizeof(int));
    *descriptor_count += more;
  }
  return received;
}

void vfio_user_host_shutdown(int socket) { (void)shutdown(socket, SHUT_RDWR); }

int vfio_user_host_wait(int socket, int for_writing, long nanoseconds) {
  struct pollfd event = {.fd = socket, .events = for_writing ? POLLOUT : POLLIN};
  struct timespec limit = {nanoseconds / 1000000000, nanoseconds % 1000000000};
  return ppoll(&event, 1, &limit, NULL) > 0 ? 1 : 0;
}

int vfio_user_host_event_create(void) {
  int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return event < 0 ? -errno : event;
}

uint64_t vfio_user_host_event_take(int event) {
  uint64_t count = 0;
  return read(event, &count, sizeof count) == sizeof count ? count : 0;
}

uintptr_t vfio_user_host_map(int descriptor, uint64_t offset, uint64_t size, int is_writable) {
  struct stat what;
  if (fstat(descriptor, &what) != 0) return 0;
  if (S_ISREG(what.st_mode)) {
    uint64_t there = (uint64_t)what.st_size;
    if (offset > there || size > there - offset) return 0;
  }
  int access = PROT_READ | (is_writable ? PROT_WRITE : 0);
  void *at = mmap(NULL, size, access, MAP_SHARED, descriptor, (off_t)offset);
  return at == MAP_FAILED ? 0 : (uintptr_t)at;
}

void vfio_user_host_unmap(uintptr_t at, uint64_t size) { (void)munmap((void *)at, size); }
