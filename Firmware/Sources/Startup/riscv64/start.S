// SPDX-License-Identifier: Apache-2.0
//
// riscv64: from the loader, with addresses not translated, to main(). A board's linker script puts
// one of two entries first, because firmware may jump to the image's start: _start for machine mode,
// where hart 0 runs and the others wait for ever, or _start_supervisor for supervisor mode, where SBI
// firmware starts one hart and keeps the others.

#if defined(__riscv) && __riscv_xlen == 64

  .section .text.start, "ax"
  .global _start
_start:
  csrr t0, mhartid
  bnez t0, park
  la t0, machine_vector
  csrw mtvec, t0
  j prepare

  .section .text.start_supervisor, "ax"
  .global _start_supervisor
_start_supervisor:
  // Interrupts off, addresses as they are.
  csrw sie, zero
  csrw satp, zero
  la t0, supervisor_vector
  csrw stvec, t0
  j prepare

  .section .text.prepare, "ax"
prepare:
  .option push
  .option norelax
  la gp, __global_pointer$
  .option pop
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
machine_vector:
  la sp, trap_stack_top
  li a0, 0
  csrr a1, mcause
  csrr a2, mepc
  csrr a3, mtval
  call trap

  .balign 4
supervisor_vector:
  la sp, trap_stack_top
  li a0, 0
  csrr a1, scause
  csrr a2, sepc
  csrr a3, stval
  call trap

#endif
