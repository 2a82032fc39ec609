// SPDX-License-Identifier: Apache-2.0

#include "runtime.h"
#include "cpu.h"

static struct {
  int is_selected;
  enum console_kind kind;
  uintptr_t base;
} console;

void console_select(enum console_kind kind, uintptr_t base) {
  console.kind = kind;
  console.base = base;
  console.is_selected = 1;
}

static volatile uint32_t *word(uintptr_t base, uintptr_t offset) {
  return (volatile uint32_t *)(base + offset);
}

static volatile uint8_t *byte(uintptr_t base, uintptr_t offset) {
  return (volatile uint8_t *)(base + offset);
}

static void put(uint8_t character) {
  enum console_kind kind = console.is_selected ? console.kind : board_console_kind();
  uintptr_t base = console.is_selected ? console.base : board_console_base();
  switch (kind) {
  case CONSOLE_PL011:
    // UARTFR.TXFF (DDI 0183, 3.3.3): the transmit FIFO is full.
    while (*word(base, 0x18) & 1 << 5) {
    }
    *word(base, 0) = character;
    break;
  case CONSOLE_NS16550_MEMORY:
    // LSR.THRE: the holding register is empty.
    while (!(*byte(base, 5) & 1 << 5)) {
    }
    *byte(base, 0) = character;
    break;
  case CONSOLE_NS16550_PORT:
#ifdef __x86_64__
    while (!(cpu_in8((uint16_t)base + 5) & 1 << 5)) {
    }
    cpu_out8((uint16_t)base, character);
#endif
    break;
  }
}

int putchar(int character) {
  if (character == '\n') put('\r');
  put((uint8_t)character);
  return character;
}
