// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE

#include "simulated_host.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int simulated_host_image_open(const char *path, int is_writable) {
  int image = open(path, (is_writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
  if (image < 0) return -errno;
  struct stat information;
  int error = 0;
  if (fstat(image, &information) != 0) {
    error = errno;
  } else if (S_ISDIR(information.st_mode)) {
    error = EISDIR;
  } else if (!S_ISREG(information.st_mode) && !S_ISBLK(information.st_mode)) {
    error = ENODEV;
  } else if (is_writable && flock(image, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    // File systems without locks are used all the same.
    error = EBUSY;
  }
  if (error == 0) return image;
  close(image);
  return -error;
}

void simulated_host_image_close(int image) { close(image); }

int64_t simulated_host_image_size(int image) {
  // Works for files and block devices alike.
  off_t size = lseek(image, 0, SEEK_END);
  return size < 0 ? -(int64_t)errno : (int64_t)size;
}

int64_t simulated_host_image_read(int image, uintptr_t to, size_t byte_count, uint64_t offset) {
  size_t done = 0;
  while (done < byte_count) {
    ssize_t got = pread(image, (char *)to + done, byte_count - done, (off_t)(offset + done));
    if (got < 0) {
      if (errno == EINTR) continue;
      return -(int64_t)errno;
    }
    if (got == 0) break;
    done += (size_t)got;
  }
  return (int64_t)done;
}

int simulated_host_image_write(int image, uintptr_t from, size_t byte_count, uint64_t offset) {
  size_t done = 0;
  while (done < byte_count) {
    ssize_t put =
        pwrite(image, (const char *)from + done, byte_count - done, (off_t)(offset + done));
    if (put < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    // A file that takes nothing and says nothing has no room.
    if (put == 0) return -ENOSPC;
    done += (size_t)put;
  }
  return 0;
}

int simulated_host_image_zero(int image, uint64_t offset, uint64_t byte_count) {
  int mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
  while (fallocate(image, mode, (off_t)offset, (off_t)byte_count) != 0) {
    if (errno != EINTR) return -errno;
  }
  return 0;
}

int simulated_host_image_flush(int image) {
  while (fdatasync(image) != 0) {
    if (errno != EINTR) return -errno;
  }
  return 0;
}
