/* SPDX-License-Identifier: Apache-2.0
 *
 * What a pci_pool_alloc and its pci_pool_free take.
 *
 *     pool_time count N    N pairs: for instruction counts
 *     pool_time time       nanoseconds a pair, the best and the median of 9 runs */

#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pci_dma.h"
#include "swiftdma.h"

static struct pci_pool *pool;

static dma_addr_t pairs(unsigned long count) {
  dma_addr_t sum = 0;
  for (unsigned long index = 0; index < count; index++) {
    dma_addr_t handle;
    void *block = pci_pool_alloc(pool, SLAB_ATOMIC, &handle);
    if (block == NULL) exit(1);
    sum += handle;
    pci_pool_free(pool, block, handle);
  }
  return sum;
}

static double thread_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int order(const void *left, const void *right) {
  double a = *(const double *)left, b = *(const double *)right;
  return a < b ? -1 : a > b;
}

int main(int count, char **arguments) {
  struct swiftdma_machine *machine;
  struct swiftdma_model_options model;
  struct pci_dev *dev;
  memset(&model, 0, sizeof(model));
  model.struct_size = sizeof(model);
  model.bar_size = 16;
  if (swiftdma_machine_create(NULL, &machine) != 0) return 1;
  if (swiftdma_model_add(machine, &model, &dev) != 0) return 1;
  pool = pci_pool_create("time", dev, 64, 64, 0, SLAB_KERNEL);
  if (pool == NULL) return 1;
  if (count > 2 && strcmp(arguments[1], "count") == 0) {
    printf("%llu\n", (unsigned long long)pairs(strtoul(arguments[2], NULL, 0)));
    return 0;
  }
  double samples[9];
  for (int index = 0; index < 9; index++) {
    double begun = thread_nanoseconds();
    pairs(5000000);
    samples[index] = (thread_nanoseconds() - begun) / 5000000;
  }
  qsort(samples, 9, sizeof(samples[0]), order);
  printf("%.2f %.2f\n", samples[0], samples[4]);
  return 0;
}
