// SPDX-License-Identifier: Apache-2.0
//
// What speaking vfio-user needs and Swift's Glibc module lacks: messages with descriptors over a
// UNIX socket, event descriptors, shared mappings.

#ifndef VFIO_USER_HOST_H
#define VFIO_USER_HOST_H

#include <stddef.h>
#include <stdint.h>

/// More descriptors than this the kernel passes in no message.
enum { vfio_user_host_descriptors_max = 253 };

/// Connects to the UNIX stream socket at a path; waits at most so long for a full backlog.
///
/// Returns a descriptor that does not block, or -errno.
int vfio_user_host_connect(const char *path, int milliseconds);

/// Sends what the socket takes of these bytes, the descriptors with the first of them.
///
/// Returns how many bytes went, or -errno (EAGAIN when none do now).
long vfio_user_host_send(int socket, const void *bytes, size_t count, const int *descriptors,
                         size_t descriptor_count);

/// Receives at most so many bytes, and the descriptors that came with them (close-on-exec).
///
/// `descriptors` has room for `vfio_user_host_descriptors_max`; `*descriptor_count` says how many
/// came. Returns how many bytes came, 0 at the end of the stream, or -errno.
long vfio_user_host_receive(int socket, void *bytes, size_t count, int *descriptors,
                            size_t *descriptor_count);

/// Ends a connection for both sides; the descriptor stays.
void vfio_user_host_shutdown(int socket);

/// Waits until the socket can be read (or written); 1, or 0 when the time is up.
int vfio_user_host_wait(int socket, int for_writing, long nanoseconds);

/// Makes a descriptor that counts events and does not block; or -errno.
int vfio_user_host_event_create(void);
/// The events since the last call, and forgets them.
uint64_t vfio_user_host_event_take(int event);

/// Maps a part of what a descriptor stands for, to read and write; 0 when that fails or what is
/// there is shorter, so that touching it would end the program.
uintptr_t vfio_user_host_map(int descriptor, uint64_t offset, uint64_t size, int is_writable);
void vfio_user_host_unmap(uintptr_t at, uint64_t size);

#endif
