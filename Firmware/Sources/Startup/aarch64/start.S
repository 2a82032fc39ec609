// SPDX-License-Identifier: Apache-2.0
//
// aarch64: from the loader, at EL1 or EL2 with MMU, caches and FP off, to main() at EL1 with all
// three on. Other cores stay wherever the loader keeps them.

#ifdef __aarch64__

  .section .text.start, "ax"
  .global _start
_start:
  mov x19, x0
  // Linux's flat-image header is not needed: the loader takes an ELF file.
  mrs x1, CurrentEL
  cmp x1, #(2 << 2)
  b.ne 1f
  // From EL2 down: EL1 is aarch64 (HCR_EL2.RW), timers untrapped, return into EL1h with all
  // interrupts masked.
  mov x1, #(1 << 31)
  msr hcr_el2, x1
  mov x1, #3
  msr cnthctl_el2, x1
  msr cntvoff_el2, xzr
  mov x1, #0x33ff
  msr cptr_el2, x1
  mov x1, #0x3c5
  msr spsr_el2, x1
  adr x1, 1f
  msr elr_el2, x1
  eret
1:
  // FP and SIMD: compilers use q registers for copies (CPACR_EL1.FPEN).
  mov x1, #(3 << 20)
  msr cpacr_el1, x1
  isb
  adrp x1, vectors
  add x1, x1, :lo12:vectors
  msr vbar_el1, x1
  adrp x1, stack_top
  add x1, x1, :lo12:stack_top
  mov sp, x1

  adrp x1, bss_start
  add x1, x1, :lo12:bss_start
  adrp x2, bss_end
  add x2, x2, :lo12:bss_end
2:
  cmp x1, x2
  b.hs 3f
  stp xzr, xzr, [x1], #16
  b 2b
3:
  adrp x1, startup_argument_value
  str x19, [x1, :lo12:startup_argument_value]

  // Exclusive accesses (each retain and release) and unaligned ones need Normal memory: the MMU
  // must be on before any Swift runs. The tables start with the image and the console.
  bl address_space_prepare
  // MAIR: 0 = Device-nGnRnE, 1 = Normal write-back, 2 = Normal non-cacheable.
  ldr x1, =0x44ff00
  msr mair_el1, x1
  // TCR: 39-bit addresses in both halves, 4 KiB granule, walks cached and inner-shareable;
  // the physical size is what the CPU has, at most 48 bits.
  ldr x1, =0xb5193519
  mrs x2, id_aa64mmfr0_el1
  and x2, x2, #0xf
  mov x3, #5
  cmp x2, x3
  csel x2, x2, x3, lo
  orr x1, x1, x2, lsl #32
  msr tcr_el1, x1
  adrp x1, address_space_cached
  add x1, x1, :lo12:address_space_cached
  msr ttbr0_el1, x1
  adrp x1, address_space_noncached
  add x1, x1, :lo12:address_space_noncached
  msr ttbr1_el1, x1
  tlbi vmalle1
  ic iallu
  dsb sy
  isb
  // SCTLR: MMU, data cache, instruction cache; the reserved-one bits of ARMv8.0.
  ldr x1, =0x30d01805
  msr sctlr_el1, x1
  isb

  bl main
  // A program that returns has not said how it went.
  mov w0, #99
  bl board_exit

// Every exception is the end: it is told to trap() with a number for where it came from.
  .macro vector index
  .balign 128
  adrp x9, trap_stack_top
  add x9, x9, :lo12:trap_stack_top
  mov sp, x9
  mov x0, #\index
  mrs x1, esr_el1
  mrs x2, elr_el1
  mrs x3, far_el1
  b trap
  .endm

  .text
  .balign 2048
vectors:
  .irp index, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
  vector \index
  .endr

#endif
