// SPDX-License-Identifier: Apache-2.0
//
// The documented functions as functions: what a function pointer, or a program without the macros,
// gets. They know no place in the caller's source.

#define SWIFTDMA_NO_CALL_SITES
#include "swiftdma_internal.h"

#define NOWHERE(kind) NULL, (uint64_t)(kind) << 48
#define DEVICE SWIFTDMA_CALL_DEVICE
#define TESTED SWIFTDMA_CALL_TESTED
#define CPU SWIFTDMA_CALL_FOR_CPU
#define DEV SWIFTDMA_CALL_FOR_DEVICE
#define STREAMING SWIFTDMA_CALL_STREAMING
#define COHERENT SWIFTDMA_CALL_COHERENT

// MARK: The document's

int pci_dma_supported(struct pci_dev *hwdev, dma_addr_t mask) {
  return swiftdma_at_supported(hwdev, mask, NOWHERE(0));
}
int pci_set_dma_mask(struct pci_dev *dev, dma_addr_t mask) {
  return swiftdma_at_set_mask(dev, mask, NOWHERE(STREAMING | COHERENT));
}
int pci_set_consistent_dma_mask(struct pci_dev *dev, uint64_t mask) {
  return swiftdma_at_set_mask(dev, mask, NOWHERE(COHERENT));
}
void *pci_alloc_consistent(struct pci_dev *hwdev, size_t size, dma_addr_t *dma_handle) {
  return swiftdma_at_alloc(hwdev, size, dma_handle, NOWHERE(0));
}
void pci_free_consistent(struct pci_dev *hwdev, size_t size, void *vaddr, dma_addr_t dma_handle) {
  swiftdma_at_free(hwdev, size, vaddr, dma_handle, NOWHERE(0));
}
struct pci_pool *pci_pool_create(const char *name, struct pci_dev *dev, size_t size, size_t align,
                                 size_t allocation, int flags) {
  return swiftdma_at_pool_create(name, dev, size, align, allocation, flags, NOWHERE(0));
}
void *pci_pool_alloc(struct pci_pool *pool, int flags, dma_addr_t *handle) {
  return swiftdma_at_pool_alloc(pool, flags, handle, NOWHERE(0));
}
void pci_pool_free(struct pci_pool *pool, void *vaddr, dma_addr_t addr) {
  swiftdma_at_pool_free(pool, vaddr, addr, NOWHERE(0));
}
void pci_pool_destroy(struct pci_pool *pool) { swiftdma_at_pool_destroy(pool, NOWHERE(0)); }
dma_addr_t pci_map_single(struct pci_dev *hwdev, void *ptr, size_t size, int direction) {
  return swiftdma_at_map(hwdev, ptr, size, direction, NOWHERE(0));
}
void pci_unmap_single(struct pci_dev *hwdev, dma_addr_t dma_addr, size_t size, int direction) {
  swiftdma_at_unmap(hwdev, dma_addr, size, direction, NOWHERE(0));
}
dma_addr_t pci_map_page(struct pci_dev *hwdev, struct page *page, unsigned long offset, size_t size,
                        int direction) {
  return swiftdma_at_map_page(hwdev, page, offset, size, direction, NOWHERE(0));
}
void pci_unmap_page(struct pci_dev *hwdev, dma_addr_t dma_addr, size_t size, int direction) {
  swiftdma_at_unmap(hwdev, dma_addr, size, direction, NOWHERE(0));
}
int pci_map_sg(struct pci_dev *hwdev, struct scatterlist *sg, int nents, int direction) {
  return swiftdma_at_map_sg(hwdev, sg, nents, direction, NOWHERE(0));
}
void pci_unmap_sg(struct pci_dev *hwdev, struct scatterlist *sg, int nents, int direction) {
  swiftdma_at_unmap_sg(hwdev, sg, nents, direction, NOWHERE(0));
}
void pci_dma_sync_single(struct pci_dev *hwdev, dma_addr_t dma_handle, size_t size, int direction) {
  swiftdma_at_sync(hwdev, dma_handle, size, direction, NOWHERE(CPU | DEV));
}
void pci_dma_sync_single_for_cpu(struct pci_dev *hwdev, dma_addr_t dma_handle, size_t size,
                                 int direction) {
  swiftdma_at_sync(hwdev, dma_handle, size, direction, NOWHERE(CPU));
}
void pci_dma_sync_single_for_device(struct pci_dev *hwdev, dma_addr_t dma_handle, size_t size,
                                    int direction) {
  swiftdma_at_sync(hwdev, dma_handle, size, direction, NOWHERE(DEV));
}
void pci_dma_sync_sg(struct pci_dev *hwdev, struct scatterlist *sg, int nelems, int direction) {
  swiftdma_at_sync_sg(hwdev, sg, nelems, direction, NOWHERE(CPU | DEV));
}
void pci_dma_sync_sg_for_cpu(struct pci_dev *hwdev, struct scatterlist *sg, int nelems,
                             int direction) {
  swiftdma_at_sync_sg(hwdev, sg, nelems, direction, NOWHERE(CPU));
}
void pci_dma_sync_sg_for_device(struct pci_dev *hwdev, struct scatterlist *sg, int nelems,
                                int direction) {
  swiftdma_at_sync_sg(hwdev, sg, nelems, direction, NOWHERE(DEV));
}
int pci_dma_mapping_error(struct pci_dev *hwdev, dma_addr_t dma_addr) {
  return swiftdma_at_mapping_error(hwdev, dma_addr, NOWHERE(0));
}

// The constants agree, but what is none of the four must not become a direction.
int scsi_to_pci_dma_dir(unsigned char scsi_dir) {
  switch (scsi_dir) {
  case SCSI_DATA_UNKNOWN: return PCI_DMA_BIDIRECTIONAL;
  case SCSI_DATA_WRITE: return PCI_DMA_TODEVICE;
  case SCSI_DATA_READ: return PCI_DMA_FROMDEVICE;
  default: return PCI_DMA_NONE;
  }
}

// MARK: Later names

int dma_supported(struct device *dev, uint64_t mask) {
  return swiftdma_at_supported(dev, mask, NOWHERE(DEVICE));
}
int dma_set_mask(struct device *dev, uint64_t mask) {
  return swiftdma_at_set_mask(dev, mask, NOWHERE(DEVICE | STREAMING));
}
int dma_set_coherent_mask(struct device *dev, uint64_t mask) {
  return swiftdma_at_set_mask(dev, mask, NOWHERE(DEVICE | COHERENT));
}
int dma_set_mask_and_coherent(struct device *dev, uint64_t mask) {
  return swiftdma_at_set_mask(dev, mask, NOWHERE(DEVICE | STREAMING | COHERENT));
}
void *dma_alloc_coherent(struct device *dev, size_t size, dma_addr_t *dma_handle, int flags) {
  // Consistent memory never waits, whatever the flags allow.
  (void)flags;
  return swiftdma_at_alloc(dev, size, dma_handle, NOWHERE(DEVICE));
}
void dma_free_coherent(struct device *dev, size_t size, void *cpu_addr, dma_addr_t dma_handle) {
  swiftdma_at_free(dev, size, cpu_addr, dma_handle, NOWHERE(DEVICE));
}
struct dma_pool *dma_pool_create(const char *name, struct device *dev, size_t size, size_t align,
                                 size_t boundary) {
  return swiftdma_at_pool_create(name, dev, size, align, boundary, 0, NOWHERE(DEVICE));
}
void *dma_pool_alloc(struct dma_pool *pool, int flags, dma_addr_t *handle) {
  return swiftdma_at_pool_alloc(pool, flags, handle, NOWHERE(0));
}
void *dma_pool_zalloc(struct dma_pool *pool, int flags, dma_addr_t *handle) {
  return swiftdma_at_pool_alloc(pool, flags | __GFP_ZERO, handle, NOWHERE(0));
}
void dma_pool_free(struct dma_pool *pool, void *vaddr, dma_addr_t addr) {
  swiftdma_at_pool_free(pool, vaddr, addr, NOWHERE(0));
}
void dma_pool_destroy(struct dma_pool *pool) { swiftdma_at_pool_destroy(pool, NOWHERE(DEVICE)); }
dma_addr_t dma_map_single(struct device *dev, void *ptr, size_t size,
                          enum dma_data_direction direction) {
  return swiftdma_at_map(dev, ptr, size, (int)direction, NOWHERE(DEVICE | TESTED));
}
void dma_unmap_single(struct device *dev, dma_addr_t addr, size_t size,
                      enum dma_data_direction direction) {
  swiftdma_at_unmap(dev, addr, size, (int)direction, NOWHERE(DEVICE));
}
dma_addr_t dma_map_page(struct device *dev, struct page *page, size_t offset, size_t size,
                        enum dma_data_direction direction) {
  return swiftdma_at_map_page(dev, page, offset, size, (int)direction, NOWHERE(DEVICE | TESTED));
}
void dma_unmap_page(struct device *dev, dma_addr_t addr, size_t size,
                    enum dma_data_direction direction) {
  swiftdma_at_unmap(dev, addr, size, (int)direction, NOWHERE(DEVICE));
}
int dma_map_sg(struct device *dev, struct scatterlist *sg, int nents,
               enum dma_data_direction direction) {
  return swiftdma_at_map_sg(dev, sg, nents, (int)direction, NOWHERE(DEVICE));
}
void dma_unmap_sg(struct device *dev, struct scatterlist *sg, int nents,
                  enum dma_data_direction direction) {
  swiftdma_at_unmap_sg(dev, sg, nents, (int)direction, NOWHERE(DEVICE));
}
void dma_sync_single_for_cpu(struct device *dev, dma_addr_t addr, size_t size,
                             enum dma_data_direction direction) {
  swiftdma_at_sync(dev, addr, size, (int)direction, NOWHERE(DEVICE | CPU));
}
void dma_sync_single_for_device(struct device *dev, dma_addr_t addr, size_t size,
                                enum dma_data_direction direction) {
  swiftdma_at_sync(dev, addr, size, (int)direction, NOWHERE(DEVICE | DEV));
}
void dma_sync_sg_for_cpu(struct device *dev, struct scatterlist *sg, int nelems,
                         enum dma_data_direction direction) {
  swiftdma_at_sync_sg(dev, sg, nelems, (int)direction, NOWHERE(DEVICE | CPU));
}
void dma_sync_sg_for_device(struct device *dev, struct scatterlist *sg, int nelems,
                            enum dma_data_direction direction) {
  swiftdma_at_sync_sg(dev, sg, nelems, (int)direction, NOWHERE(DEVICE | DEV));
}
int dma_mapping_error(struct device *dev, dma_addr_t addr) {
  return swiftdma_at_mapping_error(dev, addr, NOWHERE(DEVICE));
}
