// SPDX-License-Identifier: Apache-2.0
//
// What Embedded Swift and the compilers call: heap, memory functions, putchar. Knows no board; asks
// Boards for the console.

#ifndef RUNTIME_H
#define RUNTIME_H

#include "board.h"
#include <stddef.h>
#include <stdint.h>

/// Moves the console to the port that the machine's description names.
void console_select(enum console_kind kind, uintptr_t base);

/// Puts one character on the console; a line feed comes out as carriage return and line feed.
int putchar(int character);

/// Heap calls since the start, to prove that a path makes none.
uint64_t runtime_heap_allocation_count(void);
/// Bytes of the heap in use now.
size_t runtime_heap_used(void);

#endif
