/* SPDX-License-Identifier: Apache-2.0
 *
 * Every documented call does what it says, over each mapping, coherent and incoherent: no finding. */

#include "check.h"

static void test_masks(struct swiftdma_machine *machine, struct pci_dev *dev) {
  (void)machine;
  /* R15, R16, R18: 32 bits when new; asking changes nothing; not zero is yes. */
  CHECK(dev->dma_mask == 0xffffffff);
  CHECK(pci_dma_supported(dev, 0x00ffffff) != 0);
  CHECK(pci_dma_supported(dev, 0xff) == 0);
  CHECK(dev->dma_mask == 0xffffffff);
  /* R25, R26: zero is yes, and a refused mask leaves the old one. */
  CHECK(pci_set_dma_mask(dev, 0x00ffffff) == 0 && dev->dma_mask == 0x00ffffff);
  CHECK(pci_set_dma_mask(dev, 0xff) == -EIO && dev->dma_mask == 0x00ffffff);
  dma_addr_t handle = 0;
  void *memory = pci_alloc_consistent(dev, 100, &handle);
  CHECK(memory != NULL && handle <= 0x00ffffff - 4095);
  pci_free_consistent(dev, 100, memory, handle);
  CHECK(pci_set_dma_mask(dev, 0xffffffff) == 0);
  /* R23: assignment has the same effect. */
  dev->dma_mask = 0x00ffffff;
  memory = pci_alloc_consistent(dev, 100, &handle);
  CHECK(memory != NULL && handle <= 0x00ffffff - 4095);
  pci_free_consistent(dev, 100, memory, handle);
  dev->dma_mask = 0xffffffff;
  CHECK(dma_set_mask_and_coherent(&dev->dev, DMA_BIT_MASK(32)) == 0);
}

static void test_consistent(struct pci_dev *dev, struct swiftdma_model *model) {
  static const size_t sizes[] = {1, 4095, 4096, 4097, 65536, 65537};
  for (unsigned int index = 0; index < ARRAY_SIZE(sizes); index++) {
    size_t aligned = 4096;
    while (aligned < sizes[index]) aligned *= 2;
    dma_addr_t handle = 0;
    u8 *memory = pci_alloc_consistent(dev, sizes[index], &handle);
    CHECK(memory != NULL);
    if (memory == NULL) return;
    /* R51, T21: aligned on both sides, zeroed. */
    CHECK((uintptr_t)memory % aligned == 0 && handle % aligned == 0);
    CHECK(memory[0] == 0 && memory[sizes[index] - 1] == 0);
    /* R32: both see each other without a call. */
    u8 byte = 0;
    memory[sizes[index] - 1] = 0x5a;
    CHECK(swiftdma_model_read(model, handle + sizes[index] - 1, &byte, 1) == 0 && byte == 0x5a);
    byte = 0xa5;
    CHECK(swiftdma_model_write(model, handle, &byte, 1) == 0);
    CHECK(((volatile u8 *)memory)[0] == 0xa5);
    pci_free_consistent(dev, sizes[index], memory, handle);
  }
  /* R45: no device is one of 24 bits. */
  dma_addr_t handle = 0;
  void *memory = pci_alloc_consistent(NULL, 8192, &handle);
  CHECK(memory != NULL && handle + 8192 <= 0x01000000);
  pci_free_consistent(NULL, 8192, memory, handle);
}

static void test_pools(struct pci_dev *dev) {
  struct pci_pool *pool = pci_pool_create("heads", dev, 68, 32, 1024, SLAB_KERNEL);
  CHECK(pool != NULL);
  void *blocks[200];
  dma_addr_t handles[200];
  for (int index = 0; index < 200; index++) {
    blocks[index] = pci_pool_alloc(pool, index % 2 != 0 ? SLAB_KERNEL : SLAB_ATOMIC, &handles[index]);
    CHECK(blocks[index] != NULL);
    /* R57, R66: aligned, and across no boundary. */
    CHECK((uintptr_t)blocks[index] % 32 == 0 && handles[index] % 32 == 0);
    CHECK(handles[index] / 1024 == (handles[index] + 67) / 1024);
    memset(blocks[index], index, 68);
  }
  for (int index = 0; index < 200; index++) {
    CHECK(((u8 *)blocks[index])[67] == (u8)index);
    pci_pool_free(pool, blocks[index], handles[index]);
  }
  pci_pool_destroy(pool);
  /* R62: unknown flags are harmless. R63: so is poison. */
  pool = pci_pool_create("poisoned", dev, 64, 0, 0, -1);
  CHECK(pool != NULL);
  u8 *block = pci_pool_alloc(pool, SLAB_ATOMIC, &handles[0]);
  CHECK(block != NULL && block[0] == 0xa9);
  pci_pool_free(pool, block, handles[0]);
  pci_pool_destroy(pool);
  struct dma_pool *later = dma_pool_create("later", &dev->dev, 64, 64, 0);
  block = dma_pool_alloc(later, GFP_KERNEL, &handles[0]);
  memset(block, 1, 64);
  dma_pool_free(later, block, handles[0]);
  block = dma_pool_zalloc(later, GFP_KERNEL, &handles[0]);
  CHECK(block != NULL && block[0] == 0 && block[63] == 0);
  dma_pool_free(later, block, handles[0]);
  dma_pool_destroy(later);
  dma_pool_destroy(NULL);
}

static void test_single(struct pci_dev *dev, struct swiftdma_model *model) {
  u8 *buffer = kmalloc(1600, GFP_KERNEL);
  u8 copy[1500];
  /* R42: any offset and length; R74: to the device. */
  for (unsigned int offset = 0; offset < 64; offset += 7) {
    size_t size = 1500 - offset * 3;
    for (size_t index = 0; index < size; index++) buffer[offset + index] = (u8)(index + offset);
    dma_addr_t handle = pci_map_single(dev, buffer + offset, size, PCI_DMA_TODEVICE);
    CHECK(!pci_dma_mapping_error(dev, handle));
    CHECK((handle & 4095) == ((uintptr_t)(buffer + offset) & 4095));
    memset(copy, 0, sizeof(copy));
    CHECK(swiftdma_model_read(model, handle, copy, size) == 0);
    CHECK(memcmp(copy, buffer + offset, size) == 0);
    pci_unmap_single(dev, handle, size, PCI_DMA_TODEVICE);
  }
  /* From the device: there after a sync, and after the unmap (R99). */
  memset(buffer, 0, 1600);
  dma_addr_t handle = pci_map_single(dev, buffer, 1500, PCI_DMA_FROMDEVICE);
  memset(copy, 0x11, sizeof(copy));
  CHECK(swiftdma_model_write(model, handle, copy, 1500) == 0);
  pci_dma_sync_single(dev, handle, 1500, PCI_DMA_FROMDEVICE);
  CHECK(buffer[0] == 0x11 && buffer[1499] == 0x11);
  memset(copy, 0x22, sizeof(copy));
  CHECK(swiftdma_model_write(model, handle, copy, 1500) == 0);
  pci_unmap_single(dev, handle, 1500, PCI_DMA_FROMDEVICE);
  CHECK(buffer[0] == 0x22 && buffer[1499] == 0x22 && buffer[1500] == 0);
  /* R75, T5: both ways, with the split calls. */
  handle = dma_map_single(&dev->dev, buffer, 64, DMA_BIDIRECTIONAL);
  CHECK(dma_mapping_error(&dev->dev, handle) == 0);
  memset(copy, 0x33, 64);
  CHECK(swiftdma_model_write(model, handle, copy, 32) == 0);
  dma_sync_single_for_cpu(&dev->dev, handle, 64, DMA_BIDIRECTIONAL);
  CHECK(buffer[0] == 0x33 && buffer[32] == 0x22);
  buffer[1] = 0x44;
  dma_sync_single_for_device(&dev->dev, handle, 64, DMA_BIDIRECTIONAL);
  CHECK(swiftdma_model_read(model, handle, copy, 64) == 0 && copy[0] == 0x33 && copy[1] == 0x44);
  dma_unmap_single(&dev->dev, handle, 64, DMA_BIDIRECTIONAL);
  /* By page. */
  unsigned long page = __get_free_page(GFP_KERNEL);
  handle = pci_map_page(dev, virt_to_page((void *)page), 100, 200, PCI_DMA_TODEVICE);
  CHECK(handle != DMA_MAPPING_ERROR && (handle & 4095) == 100);
  pci_unmap_page(dev, handle, 200, PCI_DMA_TODEVICE);
  free_page(page);
  kfree(buffer);
}

static void test_lists(struct pci_dev *dev, struct swiftdma_model *model) {
  enum { COUNT = 5 };
  struct scatterlist list[COUNT], before[COUNT];
  u8 *pages[COUNT];
  memset(list, 0, sizeof(list));
  for (int index = 0; index < COUNT; index++) {
    pages[index] = (u8 *)__get_free_page(GFP_KERNEL);
    memset(pages[index], index + 1, 4096);
    list[index].address = (char *)pages[index];
    list[index].length = 4096;
  }
  list[COUNT - 1].length = 100;
  memcpy(before, list, sizeof(list));
  int count = pci_map_sg(dev, list, COUNT, PCI_DMA_TODEVICE);
  CHECK(count >= 1 && count <= COUNT);
  /* R88, R89: as many bytes, in the same order. */
  size_t total = 0;
  for (int index = 0; index < count; index++) {
    u8 byte = 0;
    CHECK(swiftdma_model_read(model, sg_dma_address(&list[index]), &byte, 1) == 0);
    CHECK(byte == total / 4096 + 1);
    total += sg_dma_len(&list[index]);
  }
  CHECK(total == 4 * 4096 + 100);
  pci_dma_sync_sg(dev, list, COUNT, PCI_DMA_TODEVICE);
  pci_unmap_sg(dev, list, COUNT, PCI_DMA_TODEVICE);
  /* R91: the driver's own fields are as they were. */
  for (int index = 0; index < COUNT; index++) {
    CHECK(list[index].address == before[index].address && list[index].length == before[index].length);
  }
  count = dma_map_sg(&dev->dev, list, COUNT, DMA_FROM_DEVICE);
  CHECK(count >= 1);
  u8 byte = 0x77;
  CHECK(swiftdma_model_write(model, sg_dma_address(&list[0]), &byte, 1) == 0);
  dma_sync_sg_for_cpu(&dev->dev, list, COUNT, DMA_FROM_DEVICE);
  CHECK(pages[0][0] == 0x77);
  dma_sync_sg_for_device(&dev->dev, list, COUNT, DMA_FROM_DEVICE);
  dma_unmap_sg(&dev->dev, list, COUNT, DMA_FROM_DEVICE);
  /* R90: pages that an engine with one segment can have only where they are merged. */
  CHECK(swiftdma_device_set_max_segments(dev, 1) == 0);
  count = pci_map_sg(dev, list, 2, PCI_DMA_TODEVICE);
  CHECK(count == 0 || count == 1);
  if (count == 1) pci_unmap_sg(dev, list, 2, PCI_DMA_TODEVICE);
  CHECK(swiftdma_device_set_max_segments(dev, 0) == 0);
  for (int index = 0; index < COUNT; index++) free_page((unsigned long)pages[index]);
}

static int is_direct;

/* E8, R10, R11: not by its address, but by the pages underneath. */
static void test_vmalloc(struct pci_dev *dev, struct swiftdma_model *model) {
  u8 *area = vmalloc(10 * 4096);
  CHECK(area != NULL);
  if (area == NULL) return;
  for (int index = 0; index < 10 * 4096; index++) area[index] = (u8)(index >> 12);
  struct scatterlist list[10];
  int entries = swiftdma_vmalloc_to_sg(area + 1, 10 * 4096 - 2, list, 10);
  CHECK(entries >= 1 && entries <= 10);
  int count = pci_map_sg(dev, list, entries, PCI_DMA_TODEVICE);
  if (count == 0) {
    /* Without anything that copies or translates, pages above 4 GiB are out of reach. */
    CHECK(is_direct && swiftdma_last_error() == -ERANGE);
    vfree(area);
    return;
  }
  size_t total = 1;
  u8 bytes[4096];
  for (int index = 0; index < count; index++) {
    for (unsigned int done = 0; done < sg_dma_len(&list[index]);) {
      unsigned int size = sg_dma_len(&list[index]) - done;
      if (size > sizeof(bytes)) size = sizeof(bytes);
      CHECK(swiftdma_model_read(model, sg_dma_address(&list[index]) + done, bytes, size) == 0);
      CHECK(bytes[0] == total / 4096 && bytes[size - 1] == (total + size - 1) / 4096);
      total += size;
      done += size;
    }
  }
  CHECK(total == 10 * 4096 - 1);
  pci_unmap_sg(dev, list, entries, PCI_DMA_TODEVICE);
  CHECK(page_address(vmalloc_to_page(area)) != NULL);
  vfree(area);
}

static const int image_data = 1;

static void test_kinds(struct swiftdma_machine *machine) {
  int local = 0;
  void *object = kmalloc(100, GFP_KERNEL), *area = vmalloc(8192), *host = malloc(100);
  unsigned long pages = __get_free_pages(GFP_KERNEL, 3);
  CHECK(swiftdma_classify(machine, &local, sizeof(local)) == SWIFTDMA_MEMORY_STACK);
  CHECK(swiftdma_classify(machine, &image_data, sizeof(int)) == SWIFTDMA_MEMORY_IMAGE);
  CHECK(swiftdma_classify(machine, object, 100) == SWIFTDMA_MEMORY_SLAB);
  CHECK(swiftdma_classify(machine, area, 8192) == SWIFTDMA_MEMORY_VMALLOC);
  CHECK(swiftdma_classify(machine, (void *)pages, 32768) == SWIFTDMA_MEMORY_PAGES);
  CHECK(swiftdma_classify(machine, host, 100) == SWIFTDMA_MEMORY_UNKNOWN);
  CHECK(pages % 32768 == 0);
  free(host);
  free_pages(pages, 3);
  vfree(area);
  kfree(object);
}

static int interrupts;
static void count_interrupt(int irq, void *device, struct pt_regs *registers) {
  struct pci_dev *dev = device;
  (void)irq;
  (void)registers;
  CHECK(in_interrupt());
  CHECK(dev->vendor == 0x1af4);
  interrupts++;
}

static void test_kernel(struct swiftdma_machine *machine, struct pci_dev *dev,
                        struct swiftdma_model *model) {
  CHECK(request_irq(dev->irq, count_interrupt, SA_SHIRQ, "probe", dev) == 0);
  CHECK(swiftdma_model_interrupt(model) == 0);
  interrupts = 0;
  unsigned long flags;
  spinlock_t lock = SPIN_LOCK_UNLOCKED;
  spin_lock_irqsave(&lock, flags);
  udelay(100);
  CHECK(interrupts == 0);
  spin_unlock_irqrestore(&lock, flags);
  udelay(100);
  CHECK(interrupts == 1);
  disable_irq(dev->irq);
  CHECK(swiftdma_model_interrupt(model) == 0);
  mdelay(1);
  CHECK(interrupts == 1);
  enable_irq(dev->irq);
  schedule();
  CHECK(interrupts == 2);
  free_irq(dev->irq, dev);
  CHECK(!in_interrupt());
  u16 vendor = 0;
  CHECK(pci_read_config_word(dev, PCI_VENDOR_ID, &vendor) == 0 && vendor == 0x1af4);
  CHECK(pci_find_device(0x1af4, dev->device, NULL) == dev);
  CHECK(pci_find_device(0x1af4, 0xdead, NULL) == NULL);
  CHECK(pci_find_slot(dev->bus->number, dev->devfn) == dev);
  struct sk_buff *skb = dev_alloc_skb(1536);
  CHECK(skb != NULL && skb_headroom(skb) == 16 && skb_tailroom(skb) == 1536);
  skb_reserve(skb, 2);
  memset(skb_put(skb, 60), 7, 60);
  CHECK(skb->len == 60 && *skb_pull(skb, 14) == 7 && skb->len == 46);
  dma_addr_t handle = pci_map_single(dev, skb->data, skb->len, PCI_DMA_TODEVICE);
  CHECK(handle != DMA_MAPPING_ERROR);
  pci_unmap_single(dev, handle, skb->len, PCI_DMA_TODEVICE);
  dev_kfree_skb(skb);
  kmem_cache_t *cache = kmem_cache_create("headers", 100, 0, SLAB_HWCACHE_ALIGN, NULL, NULL);
  void *object = kmem_cache_alloc(cache, SLAB_KERNEL);
  CHECK(object != NULL && (uintptr_t)object % 64 == 0);
  CHECK(kmem_cache_destroy(cache) != 0);
  kmem_cache_free(cache, object);
  CHECK(kmem_cache_destroy(cache) == 0);
  void *low = kmalloc(64, GFP_KERNEL | GFP_DMA);
  CHECK(low != NULL);
  kfree(low);
  CHECK(swiftdma_now(machine) > 0 && swiftdma_jiffies() < 1000);
  CHECK(scsi_to_pci_dma_dir(SCSI_DATA_UNKNOWN) == PCI_DMA_BIDIRECTIONAL);
  CHECK(scsi_to_pci_dma_dir(SCSI_DATA_WRITE) == PCI_DMA_TODEVICE);
  CHECK(scsi_to_pci_dma_dir(SCSI_DATA_READ) == PCI_DMA_FROMDEVICE);
  CHECK(scsi_to_pci_dma_dir(SCSI_DATA_NONE) == PCI_DMA_NONE);
}

int main(void) {
  CHECK(swiftdma_version() == SWIFTDMA_VERSION);
  swiftdma_set_log(drop_message, NULL);
  for (int index = 0; index < SETUP_COUNT; index++) {
    struct swiftdma_machine *machine = make_machine(&setups[index], 0);
    int before = failures;
    is_direct = setups[index].mapping == SWIFTDMA_DIRECT;
    start_checker(machine, 0);
    struct pci_dev *dev = add_probe(machine, 0x7e57);
    struct swiftdma_model *model = swiftdma_model_of(dev);
    CHECK(model != NULL && swiftdma_machine_current() == machine);
    test_masks(machine, dev);
    test_consistent(dev, model);
    test_pools(dev);
    test_single(dev, model);
    test_lists(dev, model);
    test_vmalloc(dev, model);
    test_kinds(machine);
    test_kernel(machine, dev, model);
    CHECK(swiftdma_device_live_mappings(dev) == 0 && swiftdma_device_live_consistent(dev) == 0);
    CHECK(swiftdma_checker_finish(machine) == 0);
    for (int number = 0; number < seen_count; number++) fprintf(stderr, "%s\n", seen[number].text);
    CHECK(swiftdma_device_remove(dev) == 0);
    CHECK(swiftdma_machine_destroy(machine) == 0);
    if (failures != before) fprintf(stderr, "error: over %s\n", setups[index].name);
  }
  return result("calls");
}
