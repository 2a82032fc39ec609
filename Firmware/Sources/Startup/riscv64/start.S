// SPDX-License-Identifier: Apache-2.0
//
// riscv64: from the loader, in machine mode with addresses not translated, to main(). Hart 0 runs,
// the others wait for ever.

#if defined(__riscv) && __riscv_xlen == 64

  .section .text.start, "ax"
  .global _start
_start:
  csrr t0, mhartid
  bnez t0, park
  .option push
  .option norelax
  la gp, __global_pointer$
  .option pop
  la t0, vector
  csrw mtvec, t0
  la sp, stack_top
  la t0, bss_start
  la t1, bss_end
1:
  bgeu t0, t1, 2f
  sd zero, 0(t0)
  addi t0, t0, 8
  j 1b
2:
  la t0, startup_argument_value
  sd a1, 0(t0)
  call main
  // A program that returns has not said how it went.
  li a0, 99
  call board_exit
park:
  wfi
  j park

// Every trap is the end.
  .text
  .balign 4
vector:
  la sp, trap_stack_top
  li a0, 0
  csrr a1, mcause
  csrr a2, mepc
  csrr a3, mtval
  call trap

#endif
