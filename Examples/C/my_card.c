/* SPDX-License-Identifier: Apache-2.0
 *
 * The document's my_card: a network card that sends packets, and receives them with a look at the
 * header before it is decided whether the buffer goes up or back to the card. A bad frame's buffer is
 * handed back without an unmap, and without a further sync. Small frames are copied out of their
 * buffer, which goes back as well. */

#include "example.h"

#define RING_SIZE 8
#define BUFFER_SIZE 1536
#define COPY_BREAK 256

/* Registers and descriptor bits of the card (1234:11e9). */
#define CONTROL 0x00
#define INTERRUPT_STATUS 0x08
#define INTERRUPT_MASK 0x0c
#define TRANSMIT_RING 0x10
#define TRANSMIT_COUNT 0x18
#define TRANSMIT_DOORBELL 0x1c
#define RECEIVE_RING 0x20
#define RECEIVE_COUNT 0x28
#define OWNED 0x80000000u
#define BAD 0x40000000u
#define INTERRUPT 0x20000000u

struct descriptor {
  u64 address;
  u32 length;
  volatile u32 flags;
};

struct my_card {
  struct pci_dev *pdev;
  char *registers;
  struct descriptor *tx_ring, *rx_ring;
  dma_addr_t tx_ring_dma, rx_ring_dma;
  struct sk_buff *tx_skb[RING_SIZE];
  dma_addr_t tx_dma[RING_SIZE];
  unsigned int tx_next, tx_done;
  char *rx_buf[RING_SIZE];
  int rx_len[RING_SIZE];
  dma_addr_t rx_dma[RING_SIZE];
  unsigned int rx_next;
  spinlock_t lock;
};

static int passed_up, handed_back, copied_out, rx_maps;
static u8 last_frame[BUFFER_SIZE];
static int last_length;

static int my_card_setup_receive_buffer(struct my_card *cp, unsigned int entry) {
  char *buffer = kmalloc(BUFFER_SIZE, GFP_ATOMIC);
  if (buffer == NULL) return -ENOMEM;
  dma_addr_t mapping = pci_map_single(cp->pdev, buffer, BUFFER_SIZE, PCI_DMA_FROMDEVICE);
  if (pci_dma_mapping_error(cp->pdev, mapping)) {
    kfree(buffer);
    return -ENOMEM;
  }
  rx_maps++;
  cp->rx_buf[entry] = buffer;
  cp->rx_len[entry] = BUFFER_SIZE;
  cp->rx_dma[entry] = mapping;
  cp->rx_ring[entry].address = mapping;
  cp->rx_ring[entry].length = BUFFER_SIZE;
  wmb();
  cp->rx_ring[entry].flags = OWNED;
  return 0;
}

static void give_to_card(struct my_card *cp, unsigned int entry) {
  cp->rx_ring[entry].length = BUFFER_SIZE;
  wmb();
  cp->rx_ring[entry].flags = OWNED;
}

static void pass_to_upper_layers(const char *buffer, int length) {
  memcpy(last_frame, buffer, (size_t)length);
  last_length = length;
  passed_up++;
}

static void receive(struct my_card *cp) {
  unsigned int entry = cp->rx_next % RING_SIZE;
  while ((cp->rx_ring[entry].flags & OWNED) == 0) {
    rmb();
    int length = (int)cp->rx_ring[entry].length;
    /* The card wrote the buffer, and still has it: show the CPU what is in it. */
    pci_dma_sync_single(cp->pdev, cp->rx_dma[entry], (size_t)cp->rx_len[entry], PCI_DMA_FROMDEVICE);
    const u8 *header = (const u8 *)cp->rx_buf[entry];
    int is_ok = (cp->rx_ring[entry].flags & BAD) == 0 && header[0] == 0x45;
    if (!is_ok) {
      /* Just give the same buffer back. */
      handed_back++;
      give_to_card(cp, entry);
    } else if (length <= COPY_BREAK) {
      pass_to_upper_layers(cp->rx_buf[entry], length);
      copied_out++;
      give_to_card(cp, entry);
    } else {
      pci_unmap_single(cp->pdev, cp->rx_dma[entry], (size_t)cp->rx_len[entry], PCI_DMA_FROMDEVICE);
      pass_to_upper_layers(cp->rx_buf[entry], length);
      kfree(cp->rx_buf[entry]);
      if (my_card_setup_receive_buffer(cp, entry) != 0) {
        cp->rx_buf[entry] = NULL;
        return;
      }
    }
    cp->rx_next++;
    entry = cp->rx_next % RING_SIZE;
  }
}

static void transmit_done(struct my_card *cp) {
  while (cp->tx_done != cp->tx_next) {
    unsigned int entry = cp->tx_done % RING_SIZE;
    if ((cp->tx_ring[entry].flags & OWNED) != 0) return;
    pci_unmap_single(cp->pdev, cp->tx_dma[entry], cp->tx_skb[entry]->len, PCI_DMA_TODEVICE);
    dev_kfree_skb_irq(cp->tx_skb[entry]);
    cp->tx_skb[entry] = NULL;
    cp->tx_done++;
  }
}

static void my_card_interrupt_handler(int irq, void *devid, struct pt_regs *regs) {
  struct my_card *cp = devid;
  (void)irq;
  (void)regs;
  spin_lock(&cp->lock);
  u32 status = readl(cp->registers + INTERRUPT_STATUS);
  writel(status, cp->registers + INTERRUPT_STATUS);
  if ((status & 1) != 0) receive(cp);
  if ((status & 2) != 0) transmit_done(cp);
  spin_unlock(&cp->lock);
}

static int my_card_transmit(struct my_card *cp, struct sk_buff *skb) {
  unsigned long flags;
  spin_lock_irqsave(&cp->lock, flags);
  if (cp->tx_next - cp->tx_done == RING_SIZE) {
    spin_unlock_irqrestore(&cp->lock, flags);
    return -EBUSY;
  }
  unsigned int entry = cp->tx_next % RING_SIZE;
  dma_addr_t mapping = pci_map_single(cp->pdev, skb->data, skb->len, PCI_DMA_TODEVICE);
  if (pci_dma_mapping_error(cp->pdev, mapping)) {
    spin_unlock_irqrestore(&cp->lock, flags);
    return -ENOMEM;
  }
  cp->tx_skb[entry] = skb;
  cp->tx_dma[entry] = mapping;
  cp->tx_ring[entry].address = mapping;
  cp->tx_ring[entry].length = skb->len;
  wmb();
  cp->tx_ring[entry].flags = OWNED | INTERRUPT;
  cp->tx_next++;
  writel(1, cp->registers + TRANSMIT_DOORBELL);
  spin_unlock_irqrestore(&cp->lock, flags);
  return 0;
}

static struct my_card *the_card;

static int my_card_probe(struct pci_dev *pdev, const struct pci_device_id *id) {
  (void)id;
  struct my_card *cp = kmalloc(sizeof(*cp), GFP_KERNEL);
  if (cp == NULL) return -ENOMEM;
  memset(cp, 0, sizeof(*cp));
  cp->pdev = pdev;
  spin_lock_init(&cp->lock);
  pci_set_drvdata(pdev, cp);
  if (pci_enable_device(pdev) != 0 || pci_set_dma_mask(pdev, 0xffffffff) != 0) goto no_card;
  pci_set_master(pdev);
  cp->registers = ioremap(pci_resource_start(pdev, 0), pci_resource_len(pdev, 0));
  cp->tx_ring = pci_alloc_consistent(pdev, RING_SIZE * sizeof(struct descriptor), &cp->tx_ring_dma);
  cp->rx_ring = pci_alloc_consistent(pdev, RING_SIZE * sizeof(struct descriptor), &cp->rx_ring_dma);
  if (cp->registers == NULL || cp->tx_ring == NULL || cp->rx_ring == NULL) goto no_memory;
  for (unsigned int entry = 0; entry < RING_SIZE; entry++) {
    if (my_card_setup_receive_buffer(cp, entry) != 0) goto no_memory;
  }
  if (request_irq(pdev->irq, my_card_interrupt_handler, SA_SHIRQ, "my_card", cp) != 0) goto no_memory;
  writeq(cp->tx_ring_dma, cp->registers + TRANSMIT_RING);
  writel(RING_SIZE, cp->registers + TRANSMIT_COUNT);
  writeq(cp->rx_ring_dma, cp->registers + RECEIVE_RING);
  writel(RING_SIZE, cp->registers + RECEIVE_COUNT);
  writel(3, cp->registers + INTERRUPT_MASK);
  writel(1, cp->registers + CONTROL);
  the_card = cp;
  return 0;

no_memory:
no_card:
  return -ENOMEM;
}

static void my_card_remove(struct pci_dev *pdev) {
  struct my_card *cp = pci_get_drvdata(pdev);
  writel(0, cp->registers + CONTROL);
  free_irq(pdev->irq, cp);
  pci_disable_device(pdev);
  for (unsigned int entry = 0; entry < RING_SIZE; entry++) {
    if (cp->rx_buf[entry] != NULL) {
      pci_unmap_single(pdev, cp->rx_dma[entry], BUFFER_SIZE, PCI_DMA_FROMDEVICE);
      kfree(cp->rx_buf[entry]);
    }
    if (cp->tx_skb[entry] != NULL) {
      pci_unmap_single(pdev, cp->tx_dma[entry], cp->tx_skb[entry]->len, PCI_DMA_TODEVICE);
      dev_kfree_skb(cp->tx_skb[entry]);
    }
  }
  pci_free_consistent(pdev, RING_SIZE * sizeof(struct descriptor), cp->tx_ring, cp->tx_ring_dma);
  pci_free_consistent(pdev, RING_SIZE * sizeof(struct descriptor), cp->rx_ring, cp->rx_ring_dma);
  iounmap(cp->registers);
  kfree(cp);
  the_card = NULL;
}

static const struct pci_device_id my_card_ids[] = {{PCI_DEVICE(0x1234, 0x11e9)},
                                                   {0, 0, 0, 0, 0, 0, 0}};
static struct pci_driver my_card_driver;

static int my_card_init(void) {
  my_card_driver.name = "my_card";
  my_card_driver.id_table = my_card_ids;
  my_card_driver.probe = my_card_probe;
  my_card_driver.remove = my_card_remove;
  return pci_module_init(&my_card_driver);
}
static void my_card_exit(void) { pci_unregister_driver(&my_card_driver); }
module_init(my_card_init);
module_exit(my_card_exit);
MODULE_LICENSE("Apache-2.0");

/* --- The other end of the cable --- */

static void deliver(struct pci_dev *pdev, u8 first, u8 fill, int length, int is_bad) {
  u8 frame[BUFFER_SIZE];
  memset(frame, fill, sizeof(frame));
  frame[0] = first;
  EXPECT(swiftdma_network_deliver(pdev, frame, (size_t)length, is_bad) == 0);
  mdelay(1);
}

int main(int count, char **arguments) {
  struct swiftdma_machine *machine = example_machine(count, arguments, 0);
  struct swiftdma_device_options options;
  struct pci_dev *pdev;
  memset(&options, 0, sizeof(options));
  options.struct_size = sizeof(options);
  options.kind = SWIFTDMA_NETWORK_CARD;
  EXPECT(swiftdma_device_add(machine, &options, &pdev) == 0);
  EXPECT(swiftdma_modules_init() == 0 && the_card != NULL);

  /* E3: packets of every size, at odd addresses. */
  for (unsigned int size = 1; size <= 1500; size += 37) {
    struct sk_buff *skb = dev_alloc_skb(size + 3);
    skb_reserve(skb, size % 3);
    memset(skb_put(skb, size), (int)size, size);
    int error;
    while ((error = my_card_transmit(the_card, skb)) == -EBUSY) udelay(10);
    EXPECT(error == 0);
  }
  mdelay(1);
  u8 frame[BUFFER_SIZE];
  for (unsigned int size = 1; size <= 1500; size += 37) {
    int length = swiftdma_network_take(pdev, frame, sizeof(frame));
    EXPECT(length == (int)size && frame[0] == (u8)size && frame[size - 1] == (u8)size);
  }
  EXPECT(swiftdma_network_take(pdev, frame, sizeof(frame)) == 0);

  /* E4: good ones, a thousand bad ones, a good one in the same buffers. */
  int maps = rx_maps;
  deliver(pdev, 0x45, 1, 1000, 0);
  EXPECT(passed_up == 1 && last_length == 1000 && last_frame[999] == 1 && rx_maps == maps + 1);
  for (int index = 0; index < 1000; index++) {
    deliver(pdev, index % 2 != 0 ? 0x45 : 0x60, (u8)index, 900, index % 2 != 0);
  }
  EXPECT(handed_back == 1000 && passed_up == 1 && rx_maps == maps + 1);
  for (int index = 0; index < 20; index++) {
    deliver(pdev, 0x45, (u8)(100 + index), 700, 0);
    EXPECT(last_length == 700 && last_frame[1] == 100 + index && last_frame[699] == 100 + index);
  }
  /* E4b: small ones are copied out. */
  maps = rx_maps;
  for (int index = 0; index < 20; index++) {
    deliver(pdev, 0x45, (u8)(50 + index), 60, 0);
    EXPECT(last_length == 60 && last_frame[1] == 50 + index);
  }
  EXPECT(copied_out == 20 && rx_maps == maps);
  swiftdma_modules_exit();
  return example_end(machine);
}
