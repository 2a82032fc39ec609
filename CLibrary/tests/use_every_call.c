/* SPDX-License-Identifier: Apache-2.0
 *
 * Each call of pci_dma.h once, through its macro and as a function, as C and as C++ compile it. */

#include "pci_dma_kernel.h"
#include "swiftdma.h"

int main(void) {
  struct swiftdma_machine *machine = NULL;
  struct swiftdma_model_options model = {};
  struct pci_dev *dev = NULL;
  dma_addr_t handle = 0;
  if (swiftdma_machine_create(NULL, &machine) != 0) return 1;
  model.struct_size = sizeof(model);
  model.bar_size = 16;
  if (swiftdma_model_add(machine, &model, &dev) != 0) return 2;

  if (!pci_dma_supported(dev, 0xffffffff) || pci_set_dma_mask(dev, 0xffffffff) != 0) return 3;
  void *memory = pci_alloc_consistent(dev, 64, &handle);
  pci_free_consistent(dev, 64, memory, handle);
  struct pci_pool *pool = pci_pool_create("pool", dev, 64, 64, 0, SLAB_KERNEL);
  void *block = pci_pool_alloc(pool, SLAB_KERNEL, &handle);
  pci_pool_free(pool, block, handle);
  pci_pool_destroy(pool);
  unsigned char *bytes = (unsigned char *)kmalloc(64, GFP_KERNEL);
  handle = pci_map_single(dev, bytes, 64, PCI_DMA_BIDIRECTIONAL);
  pci_dma_sync_single(dev, handle, 64, PCI_DMA_BIDIRECTIONAL);
  pci_unmap_single(dev, handle, 64, PCI_DMA_BIDIRECTIONAL);
  handle = pci_map_page(dev, virt_to_page(bytes), 0, 8, PCI_DMA_TODEVICE);
  pci_unmap_page(dev, handle, 8, PCI_DMA_TODEVICE);
  struct scatterlist sg;
  sg_init_one(&sg, bytes, 64);
  if (pci_map_sg(dev, &sg, 1, PCI_DMA_TODEVICE) != 1 || sg_dma_len(&sg) != 64) return 4;
  pci_dma_sync_sg(dev, &sg, 1, PCI_DMA_TODEVICE);
  pci_unmap_sg(dev, &sg, 1, PCI_DMA_TODEVICE);
  handle = dma_map_single(&dev->dev, bytes, 64, DMA_TO_DEVICE);
  if (dma_mapping_error(&dev->dev, handle)) return 5;
  dma_unmap_single(&dev->dev, handle, 64, DMA_TO_DEVICE);

  /* As functions. */
  dma_addr_t (*map)(struct pci_dev *, void *, size_t, int) = pci_map_single;
  void (*unmap)(struct pci_dev *, dma_addr_t, size_t, int) = pci_unmap_single;
  int (*set_mask)(struct pci_dev *, dma_addr_t) = pci_set_dma_mask;
  handle = map(dev, bytes, 64, PCI_DMA_TODEVICE);
  if (handle == DMA_MAPPING_ERROR || set_mask(dev, 0xff) != -EIO) return 6;
  unmap(dev, handle, 64, PCI_DMA_TODEVICE);
  if (swiftdma_device_live_mappings(dev) != 0) return 7;
  kfree(bytes);
  return swiftdma_machine_destroy(machine) == 0 ? 0 : 8;
}
