// SPDX-License-Identifier: Apache-2.0
//
// What tests in the guest need and Swift lacks.

#ifndef GUEST_PROCESS_H
#define GUEST_PROCESS_H

#include <stddef.h>
#include <stdint.h>

/// A copy of this process: 0 in the copy, its id here.
int guest_fork(void);
/// Waits for a copy's end: its exit status, or 128 + the signal that ended it.
int guest_wait(int process);
/// Becomes an ordinary user for good; 0 when it worked.
int guest_drop_privileges(unsigned user);
/// Anonymous memory, or other memory in its place: 0 when it cannot.
uintptr_t guest_memory(size_t size);
int guest_memory_replace(uintptr_t address, size_t size);
/// A file's bytes as memory, private or shared with the file.
uintptr_t guest_memory_of_file(const char *path, size_t size, int shared);

#endif
