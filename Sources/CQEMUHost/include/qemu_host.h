// SPDX-License-Identifier: Apache-2.0
//
// What starting QEMU needs and Swift's Glibc module lacks: anonymous memory objects, and a child
// process that cannot outlive this one, however this one ends.

#ifndef QEMU_HOST_H
#define QEMU_HOST_H

#include <stddef.h>
#include <stdint.h>

/// Makes an anonymous memory object of `size` bytes, all zero, close-on-exec.
///
/// Returns its descriptor, or -errno.
int qemu_host_memory_create(const char *name, uint64_t size);

/// Makes two connected stream sockets, close-on-exec; the first does not block.
///
/// Returns 0, or -errno.
int qemu_host_socket_pair(int *ours, int *theirs);

/// A child process and the thread that watches it.
struct qemu_host_child;

/// Runs a program until it ends or this process does, whichever is first.
///
/// The child gets `descriptors[i]` as descriptor 3 + i, /dev/null as standard input, a
/// pipe that is always drained as standard output and error, default signal handling, its own
/// process group, and nothing else. Returns 0, or the errno of what failed, exec included.
int qemu_host_spawn(const char *path, char *const *arguments, const int *descriptors, size_t count,
                    struct qemu_host_child **child);

/// The child's process id.
int qemu_host_process_id(const struct qemu_host_child *child);

/// Sends a signal, unless the child has already ended.
void qemu_host_signal(struct qemu_host_child *child, int number);

/// Waits at most so long for the child's end; 1 and its wait status when it has ended, else 0.
///
/// The status is -1 when somebody else in this process has reaped the child.
int qemu_host_wait(struct qemu_host_child *child, int milliseconds, int *status);

/// The end of what the child printed, at most `size` bytes; returns how many.
size_t qemu_host_diagnostics(struct qemu_host_child *child, char *text, size_t size);

/// Lets go of the child. It is not stopped by this: signal it and wait first.
void qemu_host_release(struct qemu_host_child *child);

// MARK: The host's calls. Counts, or -errno.

void qemu_host_close(int descriptor);
/// Writes at an offset.
int64_t qemu_host_write_at(int descriptor, const void *bytes, size_t count, uint64_t offset);
/// Sends without a signal when nobody listens any more.
int64_t qemu_host_send(int socket, const void *bytes, size_t count);
int64_t qemu_host_receive(int socket, void *bytes, size_t count);
/// Whether a socket is ready to be read, or written, within this time.
int qemu_host_poll(int socket, int for_output, int milliseconds);
/// The clock that only goes forward.
uint64_t qemu_host_nanoseconds(void);
/// Sleeps, or for 0 lets others run.
void qemu_host_pause(uint64_t nanoseconds);
int qemu_host_own_process_id(void);
uint64_t qemu_host_random(void);
/// Whether a path is an ordinary file that may be executed.
int qemu_host_is_executable(const char *path);
/// The environment's PATH; null when there is none.
const char *qemu_host_search_path(void);

/// Makes a lock that sleeps when another thread holds it.
void *qemu_host_lock_create(void);
void qemu_host_lock_destroy(void *lock);
void qemu_host_lock(void *lock);
void qemu_host_unlock(void *lock);

#endif
