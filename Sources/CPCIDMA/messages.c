// SPDX-License-Identifier: Apache-2.0
//
// printk: a level in front of the text, and one place where messages go.

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "swiftdma_internal.h"
#include "pci_dma_kernel.h"

static swiftdma_log_handler log_handler;
static void *log_context;

void swiftdma_set_log(swiftdma_log_handler handler, void *context) {
  log_context = context;
  log_handler = handler;
}

void swiftdma_emit(int level, const char *text) {
  if (log_handler != NULL) {
    log_handler(log_context, level, text);
    return;
  }
  size_t length = strlen(text);
  fprintf(stderr, "<%d>%s%s", level, text, length > 0 && text[length - 1] == '\n' ? "" : "\n");
}

static int emit(const char *format, va_list arguments, int level) {
  char text[1024];
  int length = vsnprintf(text, sizeof(text), format, arguments);
  if (length < 0) return length;
  const char *start = text;
  if (text[0] == '<' && text[1] >= '0' && text[1] <= '7' && text[2] == '>') {
    level = text[1] - '0';
    start = text + 3;
  }
  swiftdma_emit(level, start);
  return length;
}

int printk(const char *format, ...) {
  if (format == NULL) return -EINVAL;
  va_list arguments;
  va_start(arguments, format);
  // Without a level, a message is a warning.
  int length = emit(format, arguments, 4);
  va_end(arguments);
  return length;
}

void panic(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  emit(format, arguments, 0);
  va_end(arguments);
  abort();
}

void swiftdma_bug(const char *file, int line) { panic("kernel BUG at %s:%d!\n", file, line); }
