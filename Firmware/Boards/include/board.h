// SPDX-License-Identifier: Apache-2.0
//
// What a board must say before any description of the machine has been read. Each folder in
// Boards/ defines one `struct board`; the board's linker script chooses it (`board = ...`), so that
// programs for several boards of one CPU architecture differ in the link only.

#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/// The kinds of serial port that Runtime can drive.
enum console_kind {
  /// ARM PrimeCell UART (DDI 0183): memory-mapped, 32-bit registers.
  CONSOLE_PL011,
  /// NS16550, memory-mapped, byte registers.
  CONSOLE_NS16550_MEMORY,
  /// NS16550 behind x86 I/O ports.
  CONSOLE_NS16550_PORT,
};

struct board {
  /// The name tables and reports use.
  const char *name;
  /// A serial port that works from the first instruction, for traps.
  enum console_kind console_kind;
  uintptr_t console_base;
  /// Where the description of the machine lies (flattened device tree, or hvm_start_info on x86),
  /// given what the loader left in its register.
  uintptr_t (*description)(uintptr_t boot_argument);
  /// Ends the run with a status that the runner sees; does not return.
  void (*exit)(uint32_t code) __attribute__((noreturn));
};

/// The board the program was linked for.
extern const struct board board;

// Its parts, for Swift and for the startup code.
const char *board_name(void);
enum console_kind board_console_kind(void);
uintptr_t board_console_base(void);
uintptr_t board_description(uintptr_t boot_argument);
void board_exit(uint32_t code) __attribute__((noreturn));

/// The statuses: see Board.Ending. None is 0, which a triple fault, a reset or an early end of the
/// emulator also gives; a trap has this one.
#define FIRMWARE_STATUS_TRAPPED 99

#endif
