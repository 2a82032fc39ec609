/* SPDX-License-Identifier: Apache-2.0
 *
 * A card with 24 address bits: it asks whether DMA can work, records the mask itself or by the call
 * that does both, and is ignored, with a warning, where it cannot work. */

#include "example.h"

static int use_helper;
static dma_addr_t ring_dma;
static void *ring;

static int isa_probe(struct pci_dev *pdev, const struct pci_device_id *id) {
  (void)id;
  if (use_helper) {
    if (pci_set_dma_mask(pdev, 0x00ffffff) != 0) goto ignore_this_device;
  } else {
    if (!pci_dma_supported(pdev, 0x00ffffff)) goto ignore_this_device;
    pdev->dma_mask = 0x00ffffff;
  }
  ring = pci_alloc_consistent(pdev, 4096, &ring_dma);
  return ring != NULL ? 0 : -ENOMEM;

ignore_this_device:
  printk(KERN_WARNING "%s: 24-bit DMA addressing not available, ignoring\n", pdev->slot_name);
  return -ENODEV;
}

static void isa_remove(struct pci_dev *pdev) { pci_free_consistent(pdev, 4096, ring, ring_dma); }

static const struct pci_device_id isa_ids[] = {{PCI_DEVICE(0x1af4, 0x0024)}, {0, 0, 0, 0, 0, 0, 0}};
static struct pci_driver isa_driver;

static int warnings;
static void count_warnings(void *context, int level, const char *text) {
  (void)context;
  if (level == 4) warnings++;
  fprintf(stderr, "%s", text);
}

static int run(int count, char **arguments, unsigned int flags, int is_possible) {
  struct swiftdma_machine *machine = example_machine(count, arguments, flags);
  struct swiftdma_model_options model;
  struct pci_dev *pdev;
  memset(&model, 0, sizeof(model));
  model.struct_size = sizeof(model);
  model.vendor = 0x1af4;
  model.device = 0x0024;
  model.bar_size = 16;
  EXPECT(swiftdma_model_add(machine, &model, &pdev) == 0);
  isa_driver.name = "isa";
  isa_driver.id_table = isa_ids;
  isa_driver.probe = isa_probe;
  isa_driver.remove = isa_remove;
  warnings = 0;
  int found = pci_module_init(&isa_driver);
  if (is_possible) {
    EXPECT(found == 0 && pdev->dma_mask == 0x00ffffff && ring_dma <= 0x00fff000 && warnings == 0);
    /* Streaming memory, too: it is reached, copied or translated below 16 MiB, or refused. */
    u8 *high = kmalloc(4096, GFP_KERNEL);
    dma_addr_t handle = pci_map_single(pdev, high, 4096, PCI_DMA_TODEVICE);
    EXPECT(handle == DMA_MAPPING_ERROR || handle <= 0x00fff000);
    if (!pci_dma_mapping_error(pdev, handle)) {
      pci_unmap_single(pdev, handle, 4096, PCI_DMA_TODEVICE);
    }
    kfree(high);
    pci_unregister_driver(&isa_driver);
  } else {
    EXPECT(found == -ENODEV && warnings == 1 && pdev->dma_mask == 0xffffffff);
  }
  return example_end(machine);
}

int main(int count, char **arguments) {
  int is_translated = count > 1 && strncmp(arguments[1], "iommu", 5) == 0;
  int status = 0;
  swiftdma_set_log(count_warnings, NULL);
  for (use_helper = 0; use_helper < 2; use_helper++) {
    status |= run(count, arguments, 0, 1);
    if (!is_translated) status |= run(count, arguments, SWIFTDMA_NO_24BIT_ZONE, 0);
  }
  return status;
}
