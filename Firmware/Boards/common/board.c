// SPDX-License-Identifier: Apache-2.0

#include "board.h"

const char *board_name(void) { return board.name; }
enum console_kind board_console_kind(void) { return board.console_kind; }
uintptr_t board_console_base(void) { return board.console_base; }
uintptr_t board_description(uintptr_t boot_argument) { return board.description(boot_argument); }
void board_exit(uint32_t code) { board.exit(code); }
