// SPDX-License-Identifier: Apache-2.0
//
// x86_64: the interrupt table, and the stack that exceptions come in on: with the interrupted stack
// they would turn an overflow into a triple fault, which says nothing.

#ifdef __x86_64__

#include <stdint.h>

#define VECTOR_COUNT 32
#define VECTOR_SIZE 16

extern char startup_vectors[], trap_stack_top[];
extern uint64_t startup_descriptor_table[];

/// Intel SDM vol. 3, 6.14.1.
static struct {
  uint64_t low, high;
} gates[VECTOR_COUNT];

/// Intel SDM vol. 3, 7.7: only IST 1 is used.
static struct __attribute__((packed)) {
  uint32_t reserved0;
  uint64_t stacks[3];
  uint64_t reserved1;
  uint64_t interrupt_stacks[7];
  uint64_t reserved2;
  uint16_t reserved3;
  uint16_t io_map;
} task_state;

void startup_traps_prepare(void) {
  task_state.interrupt_stacks[0] = (uint64_t)trap_stack_top;
  task_state.io_map = sizeof task_state;
  uint64_t base = (uint64_t)&task_state;
  uint64_t limit = sizeof task_state - 1;
  // Present, 64-bit available TSS.
  startup_descriptor_table[3] = limit | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
  startup_descriptor_table[4] = base >> 32;
  __asm__ volatile("ltr %w0" ::"r"(3 * 8));
  for (int index = 0; index < VECTOR_COUNT; index++) {
    uint64_t entry = (uint64_t)startup_vectors + index * VECTOR_SIZE;
    // Code segment 8, IST 1, present interrupt gate.
    gates[index].low = (entry & 0xffff) | 0x08ull << 16 | 1ull << 32 | 0x8eull << 40 | (entry >> 16 & 0xffff) << 48;
    gates[index].high = entry >> 32;
  }
  struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
  } table = {sizeof gates - 1, (uint64_t)gates};
  __asm__ volatile("lidt %0" ::"m"(table));
}

#endif
