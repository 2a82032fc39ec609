// SPDX-License-Identifier: Apache-2.0
//
// Built with -fno-builtin: the loops are not turned into calls of themselves.

#include <stddef.h>
#include <stdint.h>

/// A word that may alias anything and lie anywhere.
typedef uint64_t __attribute__((may_alias, aligned(1))) any_word;

void *memset(void *start, int value, size_t count) {
  uint8_t *bytes = start;
  uint64_t pattern = (uint8_t)value * 0x0101010101010101u;
#ifdef __riscv
  // Unaligned words may trap here.
  while (count > 0 && (uintptr_t)bytes % 8 != 0) { *bytes++ = (uint8_t)value; count--; }
#endif
  for (; count >= 8; count -= 8, bytes += 8) *(any_word *)bytes = pattern;
  while (count-- > 0) *bytes++ = (uint8_t)value;
  return start;
}

static int words_will_do(const void *a, const void *b) {
#ifdef __riscv
  return ((uintptr_t)a | (uintptr_t)b) % 8 == 0;
#else
  (void)a, (void)b;
  return 1;
#endif
}

void *memmove(void *destination, const void *source, size_t count) {
  uint8_t *to = destination;
  const uint8_t *from = source;
  if ((uintptr_t)to - (uintptr_t)from >= count) {
    if (words_will_do(to, from)) {
      for (; count >= 8; count -= 8, to += 8, from += 8) *(any_word *)to = *(const any_word *)from;
    }
    while (count-- > 0) *to++ = *from++;
  } else {
    while (count-- > 0) to[count] = from[count];
  }
  return destination;
}

void *memcpy(void *destination, const void *source, size_t count) {
  return memmove(destination, source, count);
}

int memcmp(const void *left, const void *right, size_t count) {
  const uint8_t *a = left, *b = right;
  for (size_t index = 0; index < count; index++) {
    if (a[index] != b[index]) return a[index] - b[index];
  }
  return 0;
}

size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length]) length++;
  return length;
}
