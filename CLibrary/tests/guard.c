/* SPDX-License-Identifier: Apache-2.0
 *
 * Guard mode: the CPU touches memory that a device owns, and is found at the instruction that does
 * it, with the place of the map; what it may touch is not found. The program goes on each time. */

#include "check.h"

static struct swiftdma_machine *machine;
static struct pci_dev *dev;
static struct swiftdma_model *model;

/* Where the linker puts the program's first byte: what offsets in findings count from. */
extern const char __executable_start[];

/* The touches: functions of their own, so that a finding's instruction can be told. */
__attribute__((noinline)) static u8 look(const volatile u8 *address) { return *address; }
__attribute__((noinline)) static void change(volatile u8 *address, u8 value) { *address = value; }

static uintptr_t offset_of_look(void) { return (uintptr_t)look - (uintptr_t)__executable_start; }
static uintptr_t offset_of_change(void) { return (uintptr_t)change - (uintptr_t)__executable_start; }

/* Whether the only finding is a touch by the function that starts at this offset of the program, of
 * what was mapped at this line. */
static int is_touch(uintptr_t function, unsigned int mapped_line) {
  CHECK(swiftdma_checker_count(machine) >= 0);
  if (seen_count != 1) return 0;
  const char *place = strstr(seen[0].text, "by the CPU, at ");
  if (place != NULL) place = strstr(place, "+0x");
  uintptr_t offset = place != NULL ? (uintptr_t)strtoull(place + 3, NULL, 16) : 0;
  int is_right = strcmp(seen[0].rule, "cpu-touch-while-mapped") == 0 && place != NULL &&
                 offset - function < 64 && strcmp(seen[0].mapped_file, "guard.c") == 0 &&
                 seen[0].mapped_line == mapped_line && strcmp(seen[0].file, "guard.c") == 0 &&
                 seen[0].line == mapped_line;
  if (!is_right) fprintf(stderr, "function 0x%zx: %s\n", (size_t)function, seen[0].text);
  seen_count = 0;
  return is_right;
}
static int is_quiet(void) {
  CHECK(swiftdma_checker_count(machine) >= 0);
  if (seen_count > 0) fprintf(stderr, "%s\n", seen[0].text);
  return seen_count == 0;
}

static void read_of_received(void) {
  u8 *memory = (u8 *)__get_free_page(GFP_KERNEL), byte = 0x5a;
  memset(memory, 1, 4096);
  unsigned int line = __LINE__ + 1;
  dma_addr_t handle = pci_map_single(dev, memory, 4096, PCI_DMA_FROMDEVICE);
  CHECK(!pci_dma_mapping_error(dev, handle));
  (void)look(memory + 77);
  CHECK(is_touch(offset_of_look(), line));
  /* The device does its work all the same, and what it wrote is there. */
  CHECK(swiftdma_model_write(model, handle + 77, &byte, 1) == 0);
  pci_unmap_single(dev, handle, 4096, PCI_DMA_FROMDEVICE);
  CHECK(look(memory + 77) == 0x5a);
  CHECK(is_quiet());
  free_page((unsigned long)memory);
}

static void write_of_sent(void) {
  u8 *memory = (u8 *)__get_free_page(GFP_KERNEL), byte = 0;
  change(memory + 9, 3);
  unsigned int line = __LINE__ + 1;
  dma_addr_t handle = pci_map_single(dev, memory, 4096, PCI_DMA_TODEVICE);
  /* The device only reads: so may the CPU. */
  CHECK(look(memory + 9) == 3);
  CHECK(is_quiet());
  CHECK(swiftdma_model_read(model, handle + 9, &byte, 1) == 0 && byte == 3);
  change(memory + 9, 4);
  CHECK(is_touch(offset_of_change(), line));
  pci_unmap_single(dev, handle, 4096, PCI_DMA_TODEVICE);
  CHECK(look(memory + 9) == 4);
  free_page((unsigned long)memory);
}

static void between_syncs(void) {
  u8 *memory = (u8 *)__get_free_page(GFP_KERNEL), byte = 7;
  unsigned int line = __LINE__ + 1;
  dma_addr_t handle = pci_map_single(dev, memory, 4096, PCI_DMA_BIDIRECTIONAL);
  CHECK(swiftdma_model_write(model, handle, &byte, 1) == 0);
  pci_dma_sync_single_for_cpu(dev, handle, 4096, PCI_DMA_BIDIRECTIONAL);
  CHECK(look(memory) == 7);
  change(memory, 8);
  pci_dma_sync_single_for_device(dev, handle, 4096, PCI_DMA_BIDIRECTIONAL);
  CHECK(is_quiet());
  CHECK(swiftdma_model_read(model, handle, &byte, 1) == 0 && byte == 8);
  change(memory, 9);
  CHECK(is_touch(offset_of_change(), line));
  pci_unmap_single(dev, handle, 4096, PCI_DMA_BIDIRECTIONAL);
  free_page((unsigned long)memory);
}

static void entry_of_list(void) {
  struct scatterlist list[2];
  memset(list, 0, sizeof(list));
  for (int index = 0; index < 2; index++) {
    list[index].address = (char *)__get_free_page(GFP_KERNEL);
    list[index].length = 4096;
  }
  unsigned int line = __LINE__ + 1;
  CHECK(pci_map_sg(dev, list, 2, PCI_DMA_FROMDEVICE) > 0);
  (void)look((u8 *)list[1].address + 4095);
  CHECK(is_touch(offset_of_look(), line));
  pci_unmap_sg(dev, list, 2, PCI_DMA_FROMDEVICE);
  (void)look((u8 *)list[0].address);
  CHECK(is_quiet());
  for (int index = 0; index < 2; index++) free_page((unsigned long)list[index].address);
}

static void neighbour(void) {
  /* The other half of the page is the CPU's. */
  u8 *memory = (u8 *)__get_free_page(GFP_KERNEL);
  dma_addr_t handle = pci_map_single(dev, memory, 2048, PCI_DMA_FROMDEVICE);
  change(memory + 2048, 1);
  CHECK(look(memory + 2048) == 1);
  pci_unmap_single(dev, handle, 2048, PCI_DMA_FROMDEVICE);
  CHECK(is_quiet());
  free_page((unsigned long)memory);
}

static void legacy_device(void) {
  u8 *memory = (u8 *)__get_free_page(GFP_KERNEL | GFP_DMA);
  unsigned int line = __LINE__ + 1;
  dma_addr_t handle = pci_map_single(NULL, memory, 4096, PCI_DMA_FROMDEVICE);
  CHECK(handle != DMA_MAPPING_ERROR);
  (void)look(memory);
  CHECK(is_touch(offset_of_look(), line));
  pci_unmap_single(NULL, handle, 4096, PCI_DMA_FROMDEVICE);
  free_page((unsigned long)memory);
}

int main(void) {
  swiftdma_set_log(drop_message, NULL);
  for (int index = 0; index < SETUP_COUNT; index++) {
    int before = failures;
    machine = make_machine(&setups[index], 0);
    CHECK(swiftdma_guard_start(machine) == -EINVAL);
    start_checker(machine, 0);
    CHECK(swiftdma_guard_start(machine) == 0);
    CHECK(swiftdma_guard_start(machine) == -EBUSY);
    dev = add_probe(machine, 1);
    model = swiftdma_model_of(dev);
    read_of_received();
    write_of_sent();
    between_syncs();
    entry_of_list();
    neighbour();
    legacy_device();
    /* A touch that nothing comes after is told at the end. */
    u8 *memory = (u8 *)__get_free_page(GFP_KERNEL);
    dma_addr_t handle = pci_map_single(dev, memory, 4096, PCI_DMA_FROMDEVICE);
    pci_unmap_single(dev, handle, 4096, PCI_DMA_FROMDEVICE);
    handle = pci_map_single(dev, memory, 4096, PCI_DMA_FROMDEVICE);
    (void)look(memory);
    CHECK(swiftdma_checker_finish(machine) >= 2);
    CHECK(seen_count >= 1 && strcmp(seen[0].rule, "cpu-touch-while-mapped") == 0);
    CHECK(swiftdma_machine_destroy(machine) == 0);
    if (failures > before) fprintf(stderr, "over %s\n", setups[index].name);
  }
  /* A machine with devices is as it was; one without guard mode lets the CPU touch what it wants. */
  machine = make_machine(&setups[0], 0);
  start_checker(machine, 0);
  dev = add_probe(machine, 1);
  CHECK(swiftdma_guard_start(machine) == -EBUSY);
  u8 *memory = (u8 *)__get_free_page(GFP_KERNEL);
  dma_addr_t handle = pci_map_single(dev, memory, 4096, PCI_DMA_FROMDEVICE);
  change(memory, 1);
  pci_unmap_single(dev, handle, 4096, PCI_DMA_FROMDEVICE);
  CHECK(is_quiet());
  CHECK(swiftdma_machine_destroy(machine) == 0);
  return result("guard");
}
