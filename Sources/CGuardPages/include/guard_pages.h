// SPDX-License-Identifier: Apache-2.0
//
// Pages that a program must not touch for a while, and who touches them all the same.
//
// A touch is noted with the instruction that made it; the page is opened and the instruction runs
// again, so the program goes on. The signal handler does nothing but look at plain memory, call
// mprotect and store a few words. Faults elsewhere go to whoever handled them before.

#ifndef GUARD_PAGES_H
#define GUARD_PAGES_H

#include <stddef.h>
#include <stdint.h>

/// What a touch was.
struct guard_touch {
  uintptr_t address;
  /// The instruction.
  uintptr_t instruction;
  /// 1 a write, 0 a read, -1 where the processor does not say.
  int32_t is_write;
  uint32_t reserved;
};

/// What may be done with a page.
enum guard_access { guard_all = 0, guard_read = 1, guard_none = 2 };

/// Handles faults in this range of addresses from now on, whole pages. Returns 0 or -errno; -ENOSPC
/// when there are too many ranges.
int guard_add_range(uintptr_t start, size_t size);
/// No longer handles them; opens nothing.
void guard_remove_range(uintptr_t start);

/// Sets what the CPU may do with pages; returns 0 or -errno.
int guard_set(uintptr_t start, size_t size, enum guard_access access);

/// Takes the oldest touch that was not taken yet; returns 0 when there is none.
int guard_take(struct guard_touch *touch);
/// Touches that found no room.
uint64_t guard_lost_count(void);
/// Whether there may be something to take: cheap.
int guard_is_pending(void);

/// Writes the name of the program or library an instruction lies in, its offset there, and the
/// name of the function where it is known, as text; returns its length without the final zero.
size_t guard_describe(uintptr_t instruction, char *text, size_t size);

#endif
