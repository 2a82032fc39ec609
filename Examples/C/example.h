/* SPDX-License-Identifier: Apache-2.0
 *
 * What the examples share: a machine as the command line asks for it, with the checker on.
 *
 *     EXAMPLE [direct|bounce|bounce-all|iommu-strict|iommu-deferred] [incoherent] [guarded]
 *
 * They end with 0 when the driver worked and broke no rule. */

#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pci_dma_kernel.h"
#include "swiftdma.h"

static int example_problems;

#define EXPECT(condition)                                                           \
  do {                                                                              \
    if (!(condition)) {                                                             \
      example_problems++;                                                           \
      fprintf(stderr, "%s:%d: error: not true: %s\n", __FILE__, __LINE__, #condition); \
    }                                                                               \
  } while (0)

__attribute__((unused)) static void print_finding(void *context,
                                                 const struct swiftdma_finding *finding) {
  (void)context;
  fprintf(stderr, "%s\n", finding->text);
}

/* A machine for the arguments; `flags` and the arguments' own. */
__attribute__((unused)) static struct swiftdma_machine *example_machine(int count, char **arguments,
                                                                       unsigned int flags) {
  static const char *const names[] = {"direct", "bounce", "bounce-all", "iommu-strict",
                                      "iommu-deferred"};
  struct swiftdma_machine_options options;
  struct swiftdma_checker_options checker;
  struct swiftdma_machine *machine = NULL;
  int is_guarded = 0;
  memset(&options, 0, sizeof(options));
  options.struct_size = sizeof(options);
  options.flags = flags;
  for (int index = 1; index < count; index++) {
    if (strcmp(arguments[index], "incoherent") == 0) options.flags |= SWIFTDMA_INCOHERENT;
    if (strcmp(arguments[index], "guarded") == 0) is_guarded = 1;
    for (int mapping = 0; mapping < 5; mapping++) {
      if (strcmp(arguments[index], names[mapping]) == 0) {
        options.mapping = (enum swiftdma_mapping)mapping;
      }
    }
  }
  int error = swiftdma_machine_create(&options, &machine);
  if (error != 0) {
    fprintf(stderr, "no machine: %s\n", strerror(-error));
    exit(1);
  }
  memset(&checker, 0, sizeof(checker));
  checker.struct_size = sizeof(checker);
  checker.handler = print_finding;
  EXPECT(swiftdma_checker_start(machine, &checker) == 0);
  if (is_guarded) EXPECT(swiftdma_guard_start(machine) == 0);
  return machine;
}

/* What the program returns: after the drivers are gone, nothing may be left. */
__attribute__((unused)) static int example_end(struct swiftdma_machine *machine) {
  EXPECT(swiftdma_checker_finish(machine) == 0);
  EXPECT(swiftdma_machine_destroy(machine) == 0);
  if (example_problems == 0) printf("ok\n");
  return example_problems == 0 ? 0 : 1;
}

#endif
