// SPDX-License-Identifier: Apache-2.0
//
// x86_64: from the PVH loader, in 32-bit protected mode without paging and with hvm_start_info in
// EBX, to main() in long mode with SSE on and interrupts off.

#ifdef __x86_64__

// The entry for loaders that know PVH: an ELF note of Xen's, type 18 (XEN_ELFNOTE_PHYS32_ENTRY).
  .section .note.Xen, "a", @note
  .balign 4
  .long 4
  .long 4
  .long 18
  .asciz "Xen"
  .long _start

  .section .text.start, "ax"
  .code32
  .global _start
_start:
  cli
  cld
  mov $bss_start, %edi
  mov $bss_end, %ecx
  sub %edi, %ecx
  shr $2, %ecx
  xor %eax, %eax
  rep stosl
  mov %ebx, startup_argument_value

  // The first 4 GiB at their own addresses, in pages of 2 MiB: present, writable, large.
  mov $address_space_directories, %edi
  mov $0x83, %eax
  mov $2048, %ecx
1:
  mov %eax, (%edi)
  add $0x200000, %eax
  add $8, %edi
  loop 1b
  mov $address_space_pointers, %edi
  mov $address_space_directories + 3, %eax
  mov $4, %ecx
2:
  mov %eax, (%edi)
  add $4096, %eax
  add $8, %edi
  loop 2b
  movl $address_space_pointers + 3, address_space_root

  // CR4: PAE, and SSE for compilers' copies (OSFXSR, OSXMMEXCPT).
  mov $0x620, %eax
  mov %eax, %cr4
  mov $address_space_root, %eax
  mov %eax, %cr3
  // EFER.LME.
  mov $0xc0000080, %ecx
  rdmsr
  or $0x100, %eax
  wrmsr
  // CR0: paging, write protection, monitor coprocessor; no emulation.
  mov $0x80010023, %eax
  mov %eax, %cr0
  lgdt descriptor_table_register
  ljmp $0x08, $long_mode

  .code64
long_mode:
  mov $0x10, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  mov %eax, %fs
  mov %eax, %gs
  mov $stack_top, %rsp
  call startup_traps_prepare
  call main
  // A program that returns has not said how it went.
  mov $99, %edi
  call board_exit

// Every exception is the end: it comes here on a stack of its own (IST 1), with the vector and an
// error code pushed; 0 where the CPU pushes none.
  .text
  .macro vector number
  .balign 16
  .if (\number == 8) || ((\number >= 10) && (\number <= 14)) || (\number == 17) || (\number == 21) || (\number == 29) || (\number == 30)
  .else
  push $0
  .endif
  push $\number
  jmp exception
  .endm
  .balign 16
  .global startup_vectors
startup_vectors:
  .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
  vector \number
  .endr
exception:
  pop %rdi
  pop %rsi
  pop %rdx
  mov %cr2, %rcx
  and $-16, %rsp
  call trap

  .data
  .balign 16
  .global startup_descriptor_table
startup_descriptor_table:
  .quad 0
  .quad 0x00af9a000000ffff
  .quad 0x00cf92000000ffff
  // The task state segment: filled in by startup_traps_prepare.
  .quad 0
  .quad 0
descriptor_table_register:
  .word descriptor_table_register - startup_descriptor_table - 1
  .long startup_descriptor_table
  .long 0

#endif
