/* SPDX-License-Identifier: Apache-2.0
 *
 * What the C tests share: checks that count, and findings that are remembered. */

#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pci_dma_kernel.h"
#include "swiftdma.h"

static int checks, failures;

#define CHECK(condition)                                                                   \
  do {                                                                                     \
    checks++;                                                                              \
    if (!(condition)) {                                                                    \
      failures++;                                                                          \
      fprintf(stderr, "%s:%d: error: not true: %s\n", __FILE__, __LINE__, #condition);     \
    }                                                                                      \
  } while (0)

/* The last findings, oldest first. */
struct seen {
  char rule[64];
  char file[64];
  unsigned int line;
  char mapped_file[64];
  unsigned int mapped_line;
  char text[1024];
};
static struct seen seen[64];
static int seen_count;

__attribute__((unused)) static const char *base_name(const char *path) {
  const char *name = strrchr(path, '/');
  return name != NULL ? name + 1 : path;
}

__attribute__((unused)) static void remember(void *context, const struct swiftdma_finding *finding) {
  (void)context;
  if (seen_count == 64) return;
  struct seen *entry = &seen[seen_count++];
  snprintf(entry->rule, sizeof(entry->rule), "%s", finding->rule);
  snprintf(entry->file, sizeof(entry->file), "%s", base_name(finding->file));
  entry->line = finding->line;
  snprintf(entry->mapped_file, sizeof(entry->mapped_file), "%s", base_name(finding->mapped_file));
  entry->mapped_line = finding->mapped_line;
  snprintf(entry->text, sizeof(entry->text), "%s", finding->text);
}

__attribute__((unused)) static void drop_message(void *context, int level, const char *text) {
  (void)context;
  (void)level;
  (void)text;
}

/* What the library is run over: each mapping, coherent and incoherent. */
struct setup {
  const char *name;
  enum swiftdma_mapping mapping;
  unsigned int flags;
};
__attribute__((unused)) static const struct setup setups[] = {
    {"direct", SWIFTDMA_DIRECT, 0},
    {"bounce", SWIFTDMA_BOUNCE, 0},
    {"bounce-all", SWIFTDMA_BOUNCE_ALL, 0},
    {"iommu-strict", SWIFTDMA_IOMMU_STRICT, 0},
    {"iommu-deferred", SWIFTDMA_IOMMU_DEFERRED, 0},
    {"direct, incoherent", SWIFTDMA_DIRECT, SWIFTDMA_INCOHERENT},
    {"bounce, incoherent", SWIFTDMA_BOUNCE, SWIFTDMA_INCOHERENT},
    {"bounce-all, incoherent", SWIFTDMA_BOUNCE_ALL, SWIFTDMA_INCOHERENT},
    {"iommu-strict, incoherent", SWIFTDMA_IOMMU_STRICT, SWIFTDMA_INCOHERENT},
    {"iommu-deferred, incoherent", SWIFTDMA_IOMMU_DEFERRED, SWIFTDMA_INCOHERENT},
};
#define SETUP_COUNT ((int)(sizeof(setups) / sizeof(setups[0])))

__attribute__((unused)) static struct swiftdma_machine *make_machine(const struct setup *setup,
                                                                    unsigned int flags) {
  struct swiftdma_machine_options options;
  struct swiftdma_machine *machine = NULL;
  memset(&options, 0, sizeof(options));
  options.struct_size = sizeof(options);
  options.mapping = setup->mapping;
  options.flags = setup->flags | flags;
  options.memory_size = (uint64_t)6 << 30;
  int error = swiftdma_machine_create(&options, &machine);
  if (error != 0) {
    fprintf(stderr, "error: no machine (%s): %d\n", setup->name, error);
    exit(1);
  }
  return machine;
}

__attribute__((unused)) static void start_checker(struct swiftdma_machine *machine,
                                                 unsigned int flags) {
  struct swiftdma_checker_options options;
  memset(&options, 0, sizeof(options));
  options.struct_size = sizeof(options);
  options.handler = remember;
  options.flags = flags;
  seen_count = 0;
  CHECK(swiftdma_checker_start(machine, &options) == 0);
}

__attribute__((unused)) static struct pci_dev *add_device(struct swiftdma_machine *machine,
                                                         enum swiftdma_device_kind kind) {
  struct swiftdma_device_options options;
  struct pci_dev *dev = NULL;
  memset(&options, 0, sizeof(options));
  options.struct_size = sizeof(options);
  options.kind = kind;
  CHECK(swiftdma_device_add(machine, &options, &dev) == 0);
  return dev;
}

/* A device that does what the test tells it: nothing by itself. */
__attribute__((unused)) static struct pci_dev *add_probe(struct swiftdma_machine *machine,
                                                        unsigned short id) {
  struct swiftdma_model_options options;
  struct pci_dev *dev = NULL;
  memset(&options, 0, sizeof(options));
  options.struct_size = sizeof(options);
  options.vendor = 0x1af4;
  options.device = id;
  options.class_code = 0xff0000;
  options.bar_size = 4096;
  CHECK(swiftdma_model_add(machine, &options, &dev) == 0);
  pci_set_master(dev);
  return dev;
}

__attribute__((unused)) static int result(const char *name) {
  printf("count: %s: %d checks, %d failed\n", name, checks, failures);
  return failures == 0 ? 0 : 1;
}

#endif
