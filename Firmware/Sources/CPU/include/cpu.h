// SPDX-License-Identifier: Apache-2.0
//
// What the machine needs from the CPU beside memory: a clock, cache maintenance, I/O ports.
// Barriers are in DMASupport. Everything is `always_inline`: under -ffreestanding, clang does not
// inline plain `static inline` functions into Swift.

#ifndef CPU_H
#define CPU_H

#include <stddef.h>
#include <stdint.h>

#define CPU_INLINE static inline __attribute__((always_inline))

// MARK: Clock

/// Ticks since the machine started.
///
/// aarch64: the virtual counter of the generic timer; ISB first, or the read may be early (Arm ARM
/// D11.2.1). riscv64: the `time` register (mtime, at the device tree's timebase-frequency), rdtime.
/// x86_64: the time-stamp counter; LFENCE first (Intel SDM vol. 2, RDTSC).
CPU_INLINE uint64_t cpu_ticks(void) {
  uint64_t ticks;
#if defined(__aarch64__)
  __asm__ volatile("isb\n mrs %0, cntvct_el0" : "=r"(ticks)::"memory");
#elif defined(__riscv)
  __asm__ volatile("rdtime %0" : "=r"(ticks)::"memory");
#elif defined(__x86_64__)
  uint32_t low, high;
  __asm__ volatile("lfence\n rdtsc" : "=a"(low), "=d"(high)::"memory");
  ticks = (uint64_t)high << 32 | low;
#endif
  return ticks;
}

/// Ticks a second where the CPU itself knows; 0 where only the machine does.
CPU_INLINE uint64_t cpu_ticks_per_second(void) {
#if defined(__aarch64__)
  uint64_t frequency;
  __asm__("mrs %0, cntfrq_el0" : "=r"(frequency));
  return frequency;
#else
  return 0;
#endif
}

/// Tells the CPU that this is a waiting loop: aarch64 YIELD, riscv64 PAUSE (a hint: a FENCE with no
/// bits, by its encoding), x86_64 PAUSE.
CPU_INLINE void cpu_relax(void) {
#if defined(__aarch64__)
  __asm__ volatile("yield" ::: "memory");
#elif defined(__riscv)
  __asm__ volatile(".word 0x0100000f" ::: "memory");
#elif defined(__x86_64__)
  __asm__ volatile("pause" ::: "memory");
#endif
}

// MARK: Caches, by line

/// The smallest data cache line in bytes; 0 where there is no maintenance by address.
///
/// aarch64: CTR_EL0.DminLine, log2 of words. x86_64: CPUID 1, EBX 15:8, in eight bytes. riscv64:
/// needs Zicbom, whose block size the device tree has.
CPU_INLINE size_t cpu_cache_line_size(void) {
#if defined(__aarch64__)
  uint64_t type;
  __asm__("mrs %0, ctr_el0" : "=r"(type));
  return (size_t)4 << ((type >> 16) & 15);
#elif defined(__x86_64__)
  uint32_t a = 1, b, c = 0, d;
  __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return ((b >> 8) & 0xff) * 8;
#else
  return 0;
#endif
}

/// Writes one line back to memory: aarch64 DC CVAC (to the point of coherency), riscv64 CBO.CLEAN,
/// x86_64 CLFLUSH (which also drops it).
CPU_INLINE void cpu_clean_line(uintptr_t address) {
#if defined(__aarch64__)
  __asm__ volatile("dc cvac, %0" ::"r"(address) : "memory");
#elif defined(__riscv)
  // cbo.clean (a0), by its encoding: assemblers without Zicbom refuse the name.
  register uintptr_t line __asm__("a0") = address;
  __asm__ volatile(".insn i 0x0f, 2, x0, %0, 1" ::"r"(line) : "memory");
#elif defined(__x86_64__)
  __asm__ volatile("clflush (%0)" ::"r"(address) : "memory");
#endif
}

/// Writes one line back and drops it: aarch64 DC CIVAC, riscv64 CBO.FLUSH, x86_64 CLFLUSH.
///
/// Also used where only dropping is asked for: a line at the edge of a buffer may hold a
/// neighbour's bytes, which DC IVAC or CBO.INVAL would lose.
CPU_INLINE void cpu_clean_and_drop_line(uintptr_t address) {
#if defined(__aarch64__)
  __asm__ volatile("dc civac, %0" ::"r"(address) : "memory");
#elif defined(__riscv)
  register uintptr_t line __asm__("a0") = address;
  __asm__ volatile(".insn i 0x0f, 2, x0, %0, 2" ::"r"(line) : "memory");
#elif defined(__x86_64__)
  __asm__ volatile("clflush (%0)" ::"r"(address) : "memory");
#endif
}

/// Drops one line without writing it back: aarch64 DC IVAC, riscv64 CBO.INVAL; x86_64 has none for
/// ordinary code, CLFLUSH comes nearest. Only for lines that lie wholly in the buffer.
CPU_INLINE void cpu_drop_line(uintptr_t address) {
#if defined(__aarch64__)
  __asm__ volatile("dc ivac, %0" ::"r"(address) : "memory");
#elif defined(__riscv)
  register uintptr_t line __asm__("a0") = address;
  __asm__ volatile(".insn i 0x0f, 2, x0, %0, 0" ::"r"(line) : "memory");
#elif defined(__x86_64__)
  __asm__ volatile("clflush (%0)" ::"r"(address) : "memory");
#endif
}

// MARK: I/O ports

#if defined(__x86_64__)
CPU_INLINE uint8_t cpu_in8(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
CPU_INLINE uint16_t cpu_in16(uint16_t port) {
  uint16_t value;
  __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
CPU_INLINE uint32_t cpu_in32(uint16_t port) {
  uint32_t value;
  __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
CPU_INLINE void cpu_out8(uint16_t port, uint8_t value) {
  __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port) : "memory");
}
CPU_INLINE void cpu_out16(uint16_t port, uint16_t value) {
  __asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port) : "memory");
}
CPU_INLINE void cpu_out32(uint16_t port, uint32_t value) {
  __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port) : "memory");
}
#endif

#endif
