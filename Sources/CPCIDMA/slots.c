// SPDX-License-Identifier: Apache-2.0
//
// The slots of everything that C programs hold by address, and the calling thread's last error.

#include <stdio.h>

#include "swiftdma_internal.h"

__attribute__((aligned(64))) struct pci_pool swiftdma_pool_slots[SWIFTDMA_POOL_COUNT];
struct swiftdma_device_slot swiftdma_device_slots[SWIFTDMA_DEVICE_COUNT];
struct swiftdma_machine swiftdma_machine_slots[SWIFTDMA_MACHINE_COUNT];
struct swiftdma_model swiftdma_model_slots[SWIFTDMA_MODEL_COUNT];

static __thread int last_error;

void swiftdma_set_error(int error) { last_error = error; }
int swiftdma_last_error(void) { return last_error; }

unsigned int swiftdma_version(void) { return SWIFTDMA_VERSION; }

void swiftdma_name_device(struct swiftdma_device_slot *slot, int bus, int device, int function) {
  struct pci_dev *dev = &slot->dev;
  snprintf(dev->slot_name, sizeof(dev->slot_name), "%02x:%02x.%d", bus & 0xff, device & 0x1f,
           function & 7);
  snprintf(dev->name, sizeof(dev->name), "PCI device %04x:%04x", dev->vendor, dev->device);
  dev->dev.init_name = dev->slot_name;
}

void swiftdma_set_resource(struct swiftdma_device_slot *slot, int bar, uint64_t start,
                           uint64_t size, uint32_t low_bits) {
  struct resource *resource = &slot->dev.resource[bar];
  resource->name = slot->dev.name;
  resource->start = (unsigned long)start;
  resource->end = (unsigned long)(start + size - 1);
  resource->flags = IORESOURCE_MEM | ((low_bits & 8) != 0 ? IORESOURCE_PREFETCH : 0);
}
