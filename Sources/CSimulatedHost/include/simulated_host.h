// SPDX-License-Identifier: Apache-2.0
//
// What the simulated machine needs of the host it runs on: a memory object that can be mapped at
// several places, locks, threads. Everything else of the machine is Swift.
//
// The memory object is anonymous: when the process ends, however it ends, nothing is left.

#ifndef SIMULATED_HOST_H
#define SIMULATED_HOST_H

#include <stddef.h>
#include <stdint.h>

// MARK: Memory

/// Makes a sparse memory object of `size` bytes, all zero; returns its descriptor or -errno.
int simulated_host_memory_create(uint64_t size);
/// Gives up the descriptor; mappings of the object stay until they are unmapped.
void simulated_host_memory_close(int memory);
/// Gives the host back what backs a part of the object; it reads as zero afterwards.
///
/// Returns 0, or -errno when the host cannot: nothing has changed then.
int simulated_host_memory_punch(int memory, uint64_t offset, uint64_t size);
/// Reserves addresses that nothing answers at, the first one a multiple of `alignment` (a power of
/// two of at least the page size); 0 when there are none left.
uintptr_t simulated_host_reserve(uint64_t size, uint64_t alignment);
/// Maps a part of the object, readable and writable, over reserved addresses. Returns 0 or -errno.
int simulated_host_map(uintptr_t at, uint64_t size, int memory, uint64_t offset);
/// Makes mapped addresses reserved again.
void simulated_host_hide(uintptr_t at, uint64_t size);
/// Gives reserved or private addresses back, with what is mapped there.
void simulated_host_release(uintptr_t at, uint64_t size);
/// Maps zeroed memory of its own that is backed only where it is touched; 0 when that fails.
uintptr_t simulated_host_private(uint64_t size);

/// Copies bytes that no other thread has.
void simulated_host_copy(uintptr_t to, uintptr_t from, size_t byte_count);
/// A device's read of memory: what it wrote before is seen by others first, and it sees nothing
/// older than what it reads afterwards.
void simulated_host_device_read(uintptr_t to, uintptr_t ram, size_t byte_count);
/// A device's write to memory: others see it after everything the device wrote before.
void simulated_host_device_write(uintptr_t ram, uintptr_t from, size_t byte_count);
/// Fills memory with a byte.
void simulated_host_fill(uintptr_t at, uint8_t value, size_t byte_count);

/// Drops what backs private memory; it reads as zero afterwards.
void simulated_host_drop(uintptr_t at, uint64_t size);

// MARK: Caches
//
// A cache is a copy of memory that the CPU works on, and a second copy of what it last had in
// common with memory: a line that differs between the two is dirty. Addresses and sizes are
// multiples of 64.

/// Writes dirty lines to memory.
void simulated_host_clean_lines(uintptr_t cache, uintptr_t common, uintptr_t memory, size_t size);
/// Drops lines, dirty or not: the CPU sees memory again.
void simulated_host_drop_lines(uintptr_t cache, uintptr_t common, uintptr_t memory, size_t size);

// MARK: What the program itself consists of

/// Whether an address lies on the calling thread's stack.
int simulated_host_is_stack(uintptr_t address);
/// Whether an address lies in the program or a library: its code, constants or variables.
int simulated_host_is_image(uintptr_t address);

// MARK: Image files

/// Opens a file or block device with a disk's contents; one that is written is locked against
/// others who write it.
///
/// Returns a descriptor or -errno: EISDIR and ENODEV for what holds no contents, EBUSY when another
/// has it.
int simulated_host_image_open(const char *path, int is_writable);
void simulated_host_image_close(int image);
/// How many bytes there are, or -errno.
int64_t simulated_host_image_size(int image);
/// Reads; returns how many bytes there were before the end, or -errno.
int64_t simulated_host_image_read(int image, uintptr_t to, size_t byte_count, uint64_t offset);
/// Writes all of it; returns 0 or -errno.
int simulated_host_image_write(int image, uintptr_t from, size_t byte_count, uint64_t offset);
/// Makes bytes zero without writing them; returns 0, or -errno where the host cannot.
int simulated_host_image_zero(int image, uint64_t offset, uint64_t byte_count);
/// Waits until what was written would survive a power failure; returns 0 or -errno.
int simulated_host_image_flush(int image);

// MARK: Locks and threads

/// Makes a lock that sleeps when another holds it; null when memory is short.
void *simulated_host_lock_create(void);
void simulated_host_lock_destroy(void *lock);
void simulated_host_lock(void *lock);
void simulated_host_unlock(void *lock);

/// Lets another thread run.
void simulated_host_yield(void);

/// Nanoseconds of the host's steady clock.
uint64_t simulated_host_nanoseconds(void);

/// Makes something to wait for; null when memory is short.
void *simulated_host_signal_create(void);
void simulated_host_signal_destroy(void *signal);
/// Ends the wait that is under way, or the next one.
void simulated_host_signal_notify(void *signal);
/// Waits until notified, at most this long.
void simulated_host_signal_wait(void *signal, uint64_t nanoseconds);

/// Starts a thread that calls `body(context)`; null when the host has none left.
void *simulated_host_thread_start(void (*body)(void *context), void *context);
/// Waits for the thread's end; when called on that thread, only lets it go.
void simulated_host_thread_join(void *thread);

#endif
