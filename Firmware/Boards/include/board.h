// SPDX-License-Identifier: Apache-2.0
//
// What a board must say before any description of the machine has been read. Each folder in
// Boards/ holds one implementation, chosen by the -DBOARD_... of its toolset.

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

/// The name tables and reports use.
const char *board_name(void);

/// A serial port that works from the first instruction, for traps.
enum console_kind board_console_kind(void);
uintptr_t board_console_base(void);

/// Where the description of the machine lies (flattened device tree, or hvm_start_info on x86),
/// given what the loader left in its register.
uintptr_t board_description(uintptr_t boot_argument);

/// Ends the run with a status that the runner sees; does not return.
void board_exit(uint32_t code) __attribute__((noreturn));

/// The statuses: see Board.Ending. None is 0, which a triple fault, a reset or an early end of the
/// emulator also gives; a trap has this one.
#define FIRMWARE_STATUS_TRAPPED 99

#endif
