/* SPDX-License-Identifier: Apache-2.0
 *
 * Machines for the driver in old_driver.c: loads it over each mapping, and unloads it. */

#include "check.h"

extern int edu_transfers, edu_ticks, edu_tasks;

int main(void) {
  swiftdma_set_log(drop_message, NULL);
  for (int index = 0; index < SETUP_COUNT; index++) {
    struct swiftdma_machine *machine = make_machine(&setups[index], 0);
    start_checker(machine, 0);
    struct pci_dev *dev = add_device(machine, SWIFTDMA_EDU);
    edu_transfers = 0;
    CHECK(swiftdma_modules_init() == 0);
    CHECK(edu_transfers == 2 && dev->driver != NULL);
    swiftdma_modules_exit();
    CHECK(dev->driver == NULL && edu_tasks == 2 && edu_ticks >= 3);
    CHECK(swiftdma_checker_finish(machine) == 0);
    for (int number = 0; number < seen_count; number++) fprintf(stderr, "%s\n", seen[number].text);
    CHECK(swiftdma_machine_destroy(machine) == 0);
  }
  /* Without its device it does not load. */
  struct swiftdma_machine *machine = make_machine(&setups[0], 0);
  CHECK(swiftdma_modules_init() == -ENODEV);
  CHECK(swiftdma_machine_destroy(machine) == 0);
  return result("a driver of the time");
}
