// SPDX-License-Identifier: Apache-2.0
//
// Retaining what a String may be: a counted object, or the text itself with marks in its upper bits.
//
// Callers take it that these functions return what they were given, as their declarations in the
// compiler say; those of the Embedded runtime of Swift 6.3 return the pointer without its marks, and
// short texts that are copied lose theirs. The runtime's are weak, these take their place.

#include <stdint.h>

/// Bits that are no part of an object's address.
#define MARKS UINT64_C(0x7000000000000007)

void *swift_retain(void *object);
void *swift_retain_n(void *object, uint32_t count);

static void *object_of(void *value) { return (void *)((uintptr_t)value & (uintptr_t)~MARKS); }

void *swift_bridgeObjectRetain(void *value) {
  // The top bit says that nothing is counted: swift_retain looks at it.
  swift_retain(object_of(value));
  return value;
}

void *swift_bridgeObjectRetain_n(void *value, uint32_t count) {
  swift_retain_n(object_of(value), count);
  return value;
}
