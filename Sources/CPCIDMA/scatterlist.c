// SPDX-License-Identifier: Apache-2.0
//
// Scatter lists as their owners see them. A struct page is named by the CPU address of its page.

#include "swiftdma_internal.h"
#include "pci_dma_kernel.h"

dma_addr_t sg_dma_address(const struct scatterlist *sg) {
  return sg == NULL ? DMA_MAPPING_ERROR : sg->dma_address;
}

unsigned int sg_dma_len(const struct scatterlist *sg) { return sg == NULL ? 0 : sg->dma_length; }

void sg_init_table(struct scatterlist *sg, unsigned int nents) {
  if (sg != NULL) memset(sg, 0, nents * sizeof(*sg));
}

void sg_init_one(struct scatterlist *sg, const void *address, unsigned int length) {
  sg_init_table(sg, 1);
  sg_set_buf(sg, address, length);
}

void sg_set_page(struct scatterlist *sg, struct page *page, unsigned int length,
                 unsigned int offset) {
  if (sg == NULL) return;
  sg->address = NULL;
  sg->page = page;
  sg->length = length;
  sg->offset = offset;
}

void sg_set_buf(struct scatterlist *sg, const void *address, unsigned int length) {
  sg_set_page(sg, virt_to_page(address), length,
              (unsigned int)((uintptr_t)address & (PAGE_SIZE - 1)));
}

void *sg_virt(struct scatterlist *sg) {
  if (sg == NULL) return NULL;
  if (sg->address != NULL) return sg->address;
  return sg->page == NULL ? NULL : (char *)page_address(sg->page) + sg->offset;
}

struct page *sg_page(struct scatterlist *sg) {
  return sg == NULL ? NULL : virt_to_page(sg_virt(sg));
}

void *page_address(struct page *page) { return page; }

struct page *virt_to_page(const void *address) {
  return (struct page *)((uintptr_t)address & PAGE_MASK);
}

struct page *vmalloc_to_page(void *address) {
  return (struct page *)swiftdma_virtual_page((uintptr_t)address);
}

int swiftdma_vmalloc_to_sg(const void *address, size_t size, struct scatterlist *sg,
                           int entry_count) {
  uintptr_t addresses[64];
  size_t sizes[64];
  if (sg == NULL || size == 0 || entry_count <= 0) return -EINVAL;
  int used = 0;
  size_t done = 0;
  while (done < size) {
    // In pieces, so that a long area needs no memory of its own.
    size_t piece = size - done < 63 * PAGE_SIZE ? size - done : 63 * PAGE_SIZE;
    int found = swiftdma_virtual_walk((uintptr_t)address + done, piece, addresses, sizes, 64);
    if (found < 0) return found;
    for (int index = 0; index < found; index++) {
      if (used > 0 && sg[used - 1].address + sg[used - 1].length == (char *)addresses[index] &&
          sg[used - 1].length + sizes[index] <= 0x40000000u) {
        sg[used - 1].length += (unsigned int)sizes[index];
        continue;
      }
      if (used == entry_count) return -ENOSPC;
      memset(&sg[used], 0, sizeof(sg[used]));
      sg[used].address = (char *)addresses[index];
      sg[used].length = (unsigned int)sizes[index];
      used++;
    }
    done += piece;
  }
  return used;
}
