/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls on QEMU's own device models: edu, and an NVMe controller's registers, over each mapping that
 * QEMU's machine can have. */

#include "check.h"

#define SRC 0x80
#define DST 0x88
#define CNT 0x90
#define CMD 0x98
#define ACK 0x64
#define INTR 0x24

static volatile int interrupts;
static char *registers;

static void handler(int irq, void *device, struct pt_regs *regs) {
  (void)irq;
  (void)device;
  (void)regs;
  u32 status = readl(registers + INTR);
  if (status == 0) return;
  writel(status, registers + ACK);
  interrupts++;
}

static void transfer(dma_addr_t handle, int length, int to_memory) {
  int before = interrupts;
  writel(to_memory ? 0x40000 : (u32)handle, registers + SRC);
  writel(to_memory ? (u32)handle : 0x40000, registers + DST);
  writel((u32)length, registers + CNT);
  writel(to_memory ? 7 : 5, registers + CMD);
  for (int wait = 0; interrupts == before && wait < 5000; wait++) mdelay(1);
  CHECK(interrupts == before + 1);
}

static void run(enum swiftdma_mapping mapping, const char *name) {
  static const char *const devices[] = {"edu"};
  struct swiftdma_machine_options options;
  struct swiftdma_machine *machine = NULL;
  memset(&options, 0, sizeof(options));
  options.struct_size = sizeof(options);
  options.kind = SWIFTDMA_QEMU;
  options.mapping = mapping;
  options.qemu_devices = devices;
  options.qemu_device_count = 1;
  int error = swiftdma_machine_create(&options, &machine);
  CHECK(error == 0);
  if (error != 0) {
    fprintf(stderr, "error: no QEMU over %s: %d\n", name, error);
    return;
  }
  start_checker(machine, 0);
  CHECK(swiftdma_guard_start(machine) == -EOPNOTSUPP);
  struct pci_dev *dev = pci_find_device(0x1234, 0x11e8, NULL);
  CHECK(dev != NULL);
  if (dev == NULL) return;
  CHECK(pci_enable_device(dev) == 0 && pci_set_dma_mask(dev, 0x0fffffff) == 0);
  pci_set_master(dev);
  registers = ioremap(pci_resource_start(dev, 0), pci_resource_len(dev, 0));
  CHECK(registers != NULL && (readl(registers) & 0xff) == 0xed);
  CHECK(request_irq(dev->irq, handler, 0, "edu", dev) == 0);
  u8 *buffer = kmalloc(1024, GFP_KERNEL);
  for (int index = 0; index < 1000; index++) buffer[index] = (u8)(index * 3);
  dma_addr_t handle = pci_map_single(dev, buffer, 1000, PCI_DMA_TODEVICE);
  CHECK(!pci_dma_mapping_error(dev, handle) && handle + 999 <= 0x0fffffff);
  transfer(handle, 1000, 0);
  pci_unmap_single(dev, handle, 1000, PCI_DMA_TODEVICE);
  memset(buffer, 0, 1024);
  handle = pci_map_single(dev, buffer, 1000, PCI_DMA_FROMDEVICE);
  transfer(handle, 1000, 1);
  pci_dma_sync_single(dev, handle, 1000, PCI_DMA_FROMDEVICE);
  CHECK(buffer[999] == (u8)(999 * 3));
  pci_unmap_single(dev, handle, 1000, PCI_DMA_FROMDEVICE);
  for (int index = 0; index < 1000; index++) {
    if (buffer[index] != (u8)(index * 3)) {
      CHECK(!"a byte came back wrong");
      break;
    }
  }
  dma_addr_t ring_handle;
  u32 *ring = pci_alloc_consistent(dev, 4096, &ring_handle);
  CHECK(ring != NULL);
  ring[0] = 0x12345678;
  transfer(ring_handle, 4, 0);
  transfer(ring_handle + 8, 4, 1);
  CHECK(((volatile u32 *)ring)[2] == 0x12345678);
  pci_free_consistent(dev, 4096, ring, ring_handle);
  kfree(buffer);
  free_irq(dev->irq, dev);
  iounmap(registers);
  CHECK(swiftdma_device_live_mappings(dev) == 0);
  CHECK(swiftdma_checker_finish(machine) == 0);
  for (int number = 0; number < seen_count; number++) fprintf(stderr, "%s\n", seen[number].text);
  char text[100];
  CHECK(swiftdma_machine_failure(machine, text, sizeof(text)) == 0);
  CHECK(swiftdma_machine_destroy(machine) == 0);
}

int main(void) {
  swiftdma_set_log(drop_message, NULL);
  run(SWIFTDMA_DIRECT, "direct");
  run(SWIFTDMA_BOUNCE_ALL, "bounce-all");
  run(SWIFTDMA_IOMMU_STRICT, "iommu-strict");
  run(SWIFTDMA_IOMMU_DEFERRED, "iommu-deferred");
  /* Incoherent caches it cannot have. */
  struct swiftdma_machine_options options;
  struct swiftdma_machine *machine = NULL;
  memset(&options, 0, sizeof(options));
  options.struct_size = sizeof(options);
  options.kind = SWIFTDMA_QEMU;
  options.flags = SWIFTDMA_INCOHERENT;
  CHECK(swiftdma_machine_create(&options, &machine) == -EOPNOTSUPP);
  return result("QEMU");
}
