// SPDX-License-Identifier: Apache-2.0

#include "startup.h"

// Set by the linker script.
extern char image_start[], image_end[], stack_start[];
// Set by the startup code, after .bss was cleared.
uintptr_t startup_argument_value;

uintptr_t startup_argument(void) { return startup_argument_value; }
uintptr_t startup_image_start(void) { return (uintptr_t)image_start; }
uintptr_t startup_image_end(void) { return (uintptr_t)image_end; }
uintptr_t startup_stack_start(void) { return (uintptr_t)stack_start; }
