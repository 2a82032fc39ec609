/* SPDX-License-Identifier: Apache-2.0
 *
 * A driver in the manner of a USB host controller's: queue heads and transfer descriptors are blocks of
 * pools, aligned to what the hardware wants, linked by bus address. As the hardware names what it has
 * done by bus address too, and no call leads back from there (the document says so), the driver keeps a
 * hash of its own. The controller is a model in C that walks the lists. */

#include "example.h"

#define ED_COUNT 16
#define TD_HASH 64
#define LIST_HEAD 0x00
#define DONE_HEAD 0x08
#define KICK 0x10

/* As the controller has them. */
struct ed_hardware {
  u32 info;
  u32 tail;
  volatile u32 head;
  u32 next;
};
struct td_hardware {
  volatile u32 info;
  u32 buffer;
  u32 next;
  u32 end;
};

struct td {
  struct td_hardware hw;
  /* Behind what the controller reads. */
  u32 dma;
  struct td *hash_next;
  u8 *data;
};

struct controller {
  struct pci_dev *pdev;
  char *registers;
  struct pci_pool *ed_pool, *td_pool;
  struct ed_hardware *eds[ED_COUNT];
  dma_addr_t ed_dma[ED_COUNT];
  struct td *hash[TD_HASH];
  u32 *done;
  dma_addr_t done_dma;
  unsigned int completed;
};

static struct controller *the_controller;

static unsigned int hash_of(u32 dma) { return (dma >> 5) % TD_HASH; }

static struct td *td_alloc(struct controller *hc) {
  dma_addr_t dma;
  struct td *td = pci_pool_alloc(hc->td_pool, SLAB_ATOMIC, &dma);
  if (td == NULL) return NULL;
  memset(td, 0, sizeof(*td));
  td->dma = (u32)dma;
  td->hash_next = hc->hash[hash_of(td->dma)];
  hc->hash[hash_of(td->dma)] = td;
  return td;
}

static struct td *td_of(struct controller *hc, u32 dma) {
  struct td *td = hc->hash[hash_of(dma)];
  while (td != NULL && td->dma != dma) td = td->hash_next;
  return td;
}

static void td_free(struct controller *hc, struct td *td) {
  struct td **place = &hc->hash[hash_of(td->dma)];
  while (*place != td) place = &(*place)->hash_next;
  *place = td->hash_next;
  pci_pool_free(hc->td_pool, td, td->dma);
}

static void hc_interrupt(int irq, void *devid, struct pt_regs *regs) {
  struct controller *hc = devid;
  (void)irq;
  (void)regs;
  u32 dma = *(volatile u32 *)hc->done;
  rmb();
  while (dma != 0) {
    struct td *td = td_of(hc, dma);
    EXPECT(td != NULL);
    if (td == NULL) return;
    u32 next = td->hw.next;
    pci_unmap_single(hc->pdev, td->hw.buffer, 64, PCI_DMA_BIDIRECTIONAL);
    EXPECT((td->data[0] ^ td->data[1]) == 0xff);
    kfree(td->data);
    td_free(hc, td);
    hc->completed++;
    dma = next;
  }
  *hc->done = 0;
}

static int submit(struct controller *hc, int queue, u8 value) {
  struct td *td = td_alloc(hc);
  if (td == NULL) return -ENOMEM;
  td->data = kmalloc(64, GFP_ATOMIC);
  memset(td->data, value, 64);
  dma_addr_t buffer = pci_map_single(hc->pdev, td->data, 64, PCI_DMA_BIDIRECTIONAL);
  if (pci_dma_mapping_error(hc->pdev, buffer)) {
    kfree(td->data);
    td_free(hc, td);
    return -ENOMEM;
  }
  td->hw.buffer = (u32)buffer;
  td->hw.end = (u32)buffer + 63;
  td->hw.next = hc->eds[queue]->head;
  wmb();
  hc->eds[queue]->head = td->dma;
  return 0;
}

static int hc_probe(struct pci_dev *pdev, const struct pci_device_id *id) {
  (void)id;
  struct controller *hc = kmalloc(sizeof(*hc), GFP_KERNEL);
  memset(hc, 0, sizeof(*hc));
  hc->pdev = pdev;
  pci_enable_device(pdev);
  pci_set_master(pdev);
  hc->registers = ioremap(pci_resource_start(pdev, 0), pci_resource_len(pdev, 0));
  hc->ed_pool = pci_pool_create("ohci_ed", pdev, sizeof(struct ed_hardware), 16, 0, SLAB_KERNEL);
  hc->td_pool = pci_pool_create("ohci_td", pdev, sizeof(struct td), 32, 4096, SLAB_KERNEL | SLAB_POISON);
  hc->done = pci_alloc_consistent(pdev, 256, &hc->done_dma);
  if (hc->ed_pool == NULL || hc->td_pool == NULL || hc->done == NULL) return -ENOMEM;
  for (int index = 0; index < ED_COUNT; index++) {
    hc->eds[index] = pci_pool_alloc(hc->ed_pool, SLAB_KERNEL, &hc->ed_dma[index]);
    memset(hc->eds[index], 0, sizeof(struct ed_hardware));
    EXPECT(hc->ed_dma[index] % 16 == 0);
    if (index > 0) hc->eds[index - 1]->next = (u32)hc->ed_dma[index];
  }
  if (request_irq(pdev->irq, hc_interrupt, SA_SHIRQ, "ohci", hc) != 0) return -EBUSY;
  writel((u32)hc->ed_dma[0], hc->registers + LIST_HEAD);
  writel((u32)hc->done_dma, hc->registers + DONE_HEAD);
  pci_set_drvdata(pdev, hc);
  the_controller = hc;
  return 0;
}

static void hc_remove(struct pci_dev *pdev) {
  struct controller *hc = pci_get_drvdata(pdev);
  free_irq(pdev->irq, hc);
  pci_disable_device(pdev);
  for (int index = 0; index < ED_COUNT; index++) {
    pci_pool_free(hc->ed_pool, hc->eds[index], hc->ed_dma[index]);
  }
  pci_pool_destroy(hc->td_pool);
  pci_pool_destroy(hc->ed_pool);
  pci_free_consistent(pdev, 256, hc->done, hc->done_dma);
  iounmap(hc->registers);
  kfree(hc);
}

static const struct pci_device_id hc_ids[] = {{PCI_DEVICE(0x1af4, 0x0c1d)}, {0, 0, 0, 0, 0, 0, 0}};
static struct pci_driver hc_driver;

/* --- The controller --- */

static u32 list_head, done_head;

static void hc_write(void *context, struct swiftdma_model *model, unsigned int offset,
                     unsigned int size, uint64_t value) {
  (void)context;
  (void)size;
  if (offset == LIST_HEAD) list_head = (u32)value;
  if (offset == DONE_HEAD) done_head = (u32)value;
  if (offset == KICK) swiftdma_model_schedule(model, 1000, 0);
}

static void hc_step(void *context, struct swiftdma_model *model, uint64_t tag) {
  u32 done = 0, zero = 0;
  (void)context;
  (void)tag;
  for (u32 ed = list_head; ed != 0;) {
    struct ed_hardware head;
    swiftdma_model_read(model, ed, &head, sizeof(head));
    for (u32 td = head.head; td != 0;) {
      struct td_hardware hw;
      u8 bytes[64];
      swiftdma_model_read(model, td, &hw, sizeof(hw));
      swiftdma_model_read(model, hw.buffer, bytes, sizeof(bytes));
      bytes[1] = (u8)~bytes[0];
      swiftdma_model_write(model, hw.buffer, bytes, sizeof(bytes));
      u32 next = hw.next;
      swiftdma_model_write(model, td + offsetof(struct td_hardware, next), &done, 4);
      done = td;
      td = next;
    }
    swiftdma_model_write(model, ed + offsetof(struct ed_hardware, head), &zero, 4);
    ed = head.next;
  }
  swiftdma_model_write(model, done_head, &done, 4);
  swiftdma_model_interrupt(model);
}

int main(int count, char **arguments) {
  struct swiftdma_machine *machine = example_machine(count, arguments, 0);
  struct swiftdma_model_options model;
  struct pci_dev *pdev;
  memset(&model, 0, sizeof(model));
  model.struct_size = sizeof(model);
  model.vendor = 0x1af4;
  model.device = 0x0c1d;
  model.class_code = 0x0c0310;
  model.bar_size = 64;
  model.write = hc_write;
  model.step = hc_step;
  EXPECT(swiftdma_model_add(machine, &model, &pdev) == 0);
  hc_driver.name = "ohci";
  hc_driver.id_table = hc_ids;
  hc_driver.probe = hc_probe;
  hc_driver.remove = hc_remove;
  EXPECT(pci_module_init(&hc_driver) == 0);
  unsigned int submitted = 0;
  for (int round = 0; round < 100; round++) {
    for (int index = 0; index < 40; index++) {
      EXPECT(submit(the_controller, (round + index) % ED_COUNT, (u8)(round + index)) == 0);
      submitted++;
    }
    writel(1, the_controller->registers + KICK);
    mdelay(1);
    EXPECT(the_controller->completed == submitted);
  }
  /* E7: many blocks, in an order of chance. */
  u32 random = 1;
  struct td *held[256];
  memset(held, 0, sizeof(held));
  for (int step = 0; step < 100000; step++) {
    random = random * 1664525 + 1013904223;
    struct td **place = &held[random >> 24];
    if (*place != NULL) {
      td_free(the_controller, *place);
      *place = NULL;
    } else {
      *place = td_alloc(the_controller);
      EXPECT(*place != NULL && (*place)->dma % 32 == 0);
      EXPECT((*place)->dma / 4096 == ((*place)->dma + sizeof(struct td) - 1) / 4096);
    }
  }
  for (int index = 0; index < 256; index++) {
    if (held[index] != NULL) td_free(the_controller, held[index]);
  }
  pci_unregister_driver(&hc_driver);
  return example_end(machine);
}
