/* SPDX-License-Identifier: Apache-2.0
 *
 * A network card's driver in the manner of its time: rings of descriptors in one consistent piece,
 * what an unmap needs kept by macros, queues of buffers, a card list, a watchdog. It knows nothing of
 * this library. */

#ifndef __KERNEL__
#define __KERNEL__
#endif
#ifndef MODULE
#define MODULE
#endif

#include <linux/config.h>
#include <linux/version.h>
#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/types.h>
#include <linux/sched.h>
#include <linux/pci.h>
#include <linux/init.h>
#include <linux/delay.h>
#include <linux/list.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <asm/bitops.h>
#include <asm/byteorder.h>
#include <asm/io.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(2,4,0)
#error "needs the new PCI DMA calls"
#endif

#define TX_RING_SIZE	16
#define RX_RING_SIZE	16
#define PKT_BUF_SZ	1536

#define TX_RING_BYTES	(TX_RING_SIZE * sizeof(struct ring_desc))
#define RX_RING_BYTES	(RX_RING_SIZE * sizeof(struct ring_desc))

enum card_registers {
	CtlReg = 0x00, IntrStatus = 0x08, IntrMask = 0x0c,
	TxRingPtr = 0x10, TxRingLen = 0x18, TxPoll = 0x1c,
	RxRingPtr = 0x20, RxRingLen = 0x28,
};
enum desc_bits {
	DescOwn = 0x80000000, DescErr = 0x40000000, DescIntr = 0x20000000,
};
enum intr_bits {
	IntrRxDone = 1, IntrTxDone = 2,
};

static int rx_copybreak = 200;
static char version[] __devinitdata =
	KERN_INFO "ring: a driver of the time\n";

MODULE_AUTHOR("nobody");
MODULE_DESCRIPTION("ring");
MODULE_PARM(rx_copybreak, "i");
MODULE_PARM_DESC(rx_copybreak, "shorter frames are copied");

struct ring_desc {
	u32	addr_lo;
	u32	addr_hi;
	u32	len;
	u32	status;
};

struct ring_info {
	struct sk_buff *skb;
	DECLARE_PCI_UNMAP_ADDR(mapping)
	DECLARE_PCI_UNMAP_LEN(len)
};

struct ring_stats {
	unsigned long	tx_packets, rx_packets, rx_errors, rx_copied, timeouts;
};

struct ring_private {
	struct list_head	cards;
	struct pci_dev		*pci_dev;
	void			*ioaddr;
	char			name[16];
	struct ring_desc	*rx_ring, *tx_ring;
	dma_addr_t		ring_dma;
	struct ring_info	rx_info[RX_RING_SIZE];
	struct ring_info	tx_info[TX_RING_SIZE];
	unsigned int		cur_rx, cur_tx, dirty_tx;
	spinlock_t		lock;
	struct sk_buff_head	rx_queue;
	struct timer_list	timer;
	struct ring_stats	stats;
	unsigned long		state;
};
#define STATE_RUNNING	0

static LIST_HEAD(ring_cards);
static spinlock_t ring_cards_lock = SPIN_LOCK_UNLOCKED;
static rwlock_t ring_stats_lock = RW_LOCK_UNLOCKED;

static inline void ring_set_addr(struct ring_desc *desc, dma_addr_t mapping)
{
	desc->addr_lo = cpu_to_le32((u32) mapping);
	desc->addr_hi = cpu_to_le32((u32) ((u64) mapping >> 32));
}

static int ring_refill(struct ring_private *rp, unsigned int entry)
{
	struct sk_buff *skb = dev_alloc_skb(PKT_BUF_SZ);
	dma_addr_t mapping;

	if (skb == NULL)
		return -ENOMEM;
	mapping = pci_map_single(rp->pci_dev, skb->tail, PKT_BUF_SZ,
				 PCI_DMA_FROMDEVICE);
	rp->rx_info[entry].skb = skb;
	pci_unmap_addr_set(&rp->rx_info[entry], mapping, mapping);
	pci_unmap_len_set(&rp->rx_info[entry], len, PKT_BUF_SZ);
	ring_set_addr(&rp->rx_ring[entry], mapping);
	rp->rx_ring[entry].len = cpu_to_le32(PKT_BUF_SZ);
	wmb();
	rp->rx_ring[entry].status = cpu_to_le32(DescOwn);
	return 0;
}

static void ring_rx(struct ring_private *rp)
{
	unsigned int entry = rp->cur_rx % RX_RING_SIZE;
	int work = RX_RING_SIZE;

	while (--work >= 0) {
		volatile u32 *statusp = &rp->rx_ring[entry].status;
		u32 status = le32_to_cpu(*statusp);
		struct ring_info *info = &rp->rx_info[entry];
		struct sk_buff *skb, *copy;
		unsigned int len;

		if (status & DescOwn)
			break;
		rmb();
		len = le32_to_cpu(rp->rx_ring[entry].len);
		skb = info->skb;
		if (status & DescErr) {
			rp->stats.rx_errors++;
			goto give_back;
		}
		if ((int) len < rx_copybreak &&
		    (copy = dev_alloc_skb(len + 2)) != NULL) {
			skb_reserve(copy, 2);
			pci_dma_sync_single(rp->pci_dev,
					    pci_unmap_addr(info, mapping),
					    len, PCI_DMA_FROMDEVICE);
			memcpy(skb_put(copy, len), skb->tail, len);
			skb_queue_tail(&rp->rx_queue, copy);
			rp->stats.rx_copied++;
			goto received;
		}
		pci_unmap_single(rp->pci_dev, pci_unmap_addr(info, mapping),
				 pci_unmap_len(info, len), PCI_DMA_FROMDEVICE);
		skb_put(skb, len);
		skb_queue_tail(&rp->rx_queue, skb);
		info->skb = NULL;
		write_lock(&ring_stats_lock);
		rp->stats.rx_packets++;
		write_unlock(&ring_stats_lock);
		if (ring_refill(rp, entry))
			break;
		goto next;
received:
		write_lock(&ring_stats_lock);
		rp->stats.rx_packets++;
		write_unlock(&ring_stats_lock);
give_back:
		rp->rx_ring[entry].len = cpu_to_le32(PKT_BUF_SZ);
		wmb();
		*statusp = cpu_to_le32(DescOwn);
next:
		entry = (++rp->cur_rx) % RX_RING_SIZE;
	}
}

static void ring_tx_done(struct ring_private *rp)
{
	while (rp->cur_tx - rp->dirty_tx > 0) {
		unsigned int entry = rp->dirty_tx % TX_RING_SIZE;
		struct ring_info *info = &rp->tx_info[entry];

		if (le32_to_cpu(*(volatile u32 *) &rp->tx_ring[entry].status) & DescOwn)
			break;
		rmb();
		pci_unmap_single(rp->pci_dev, pci_unmap_addr(info, mapping),
				 info->skb->len, PCI_DMA_TODEVICE);
		dev_kfree_skb_irq(info->skb);
		info->skb = NULL;
		rp->stats.tx_packets++;
		rp->dirty_tx++;
	}
}

static void ring_interrupt(int irq, void *dev_instance, struct pt_regs *regs)
{
	struct ring_private *rp = (struct ring_private *) dev_instance;
	u32 status;

	spin_lock(&rp->lock);
	status = readl(rp->ioaddr + IntrStatus);
	writel(status, rp->ioaddr + IntrStatus);
	if (status & IntrRxDone)
		ring_rx(rp);
	if (status & IntrTxDone)
		ring_tx_done(rp);
	spin_unlock(&rp->lock);
}

static void ring_timer(unsigned long data)
{
	struct ring_private *rp = (struct ring_private *) data;

	if (!test_bit(STATE_RUNNING, &rp->state))
		return;
	if (rp->cur_tx != rp->dirty_tx)
		rp->stats.timeouts++;
	rp->timer.expires = jiffies + HZ / 20;
	add_timer(&rp->timer);
}

int ring_start_xmit(struct sk_buff *skb, int number)
{
	struct ring_private *rp = NULL;
	struct list_head *pos;
	unsigned long flags;
	unsigned int entry;
	dma_addr_t mapping;

	spin_lock(&ring_cards_lock);
	list_for_each(pos, &ring_cards) {
		if (number-- == 0)
			rp = list_entry(pos, struct ring_private, cards);
	}
	spin_unlock(&ring_cards_lock);
	if (rp == NULL)
		return -ENODEV;
	spin_lock_irqsave(&rp->lock, flags);
	if (rp->cur_tx - rp->dirty_tx >= TX_RING_SIZE) {
		spin_unlock_irqrestore(&rp->lock, flags);
		return 1;
	}
	entry = rp->cur_tx % TX_RING_SIZE;
	mapping = pci_map_single(rp->pci_dev, skb->data, skb->len, PCI_DMA_TODEVICE);
	rp->tx_info[entry].skb = skb;
	pci_unmap_addr_set(&rp->tx_info[entry], mapping, mapping);
	ring_set_addr(&rp->tx_ring[entry], mapping);
	rp->tx_ring[entry].len = cpu_to_le32(skb->len);
	wmb();
	rp->tx_ring[entry].status = cpu_to_le32(DescOwn | DescIntr);
	rp->cur_tx++;
	writel(1, rp->ioaddr + TxPoll);
	spin_unlock_irqrestore(&rp->lock, flags);
	return 0;
}

struct sk_buff *ring_receive(void)
{
	struct list_head *pos;
	struct sk_buff *skb;

	list_for_each(pos, &ring_cards) {
		skb = skb_dequeue(&list_entry(pos, struct ring_private, cards)->rx_queue);
		if (skb != NULL)
			return skb;
	}
	return NULL;
}

void ring_get_stats(unsigned long *tx, unsigned long *rx, unsigned long *errors,
		    unsigned long *copied)
{
	struct list_head *pos;

	*tx = *rx = *errors = *copied = 0;
	read_lock(&ring_stats_lock);
	list_for_each(pos, &ring_cards) {
		struct ring_private *rp = list_entry(pos, struct ring_private, cards);

		*tx += rp->stats.tx_packets;
		*rx += rp->stats.rx_packets;
		*errors += rp->stats.rx_errors;
		*copied += rp->stats.rx_copied;
	}
	read_unlock(&ring_stats_lock);
}

static int __devinit ring_init_one(struct pci_dev *pdev,
				   const struct pci_device_id *ent)
{
	static int cards_found;
	struct ring_private *rp;
	void *ring;
	u8 latency;
	int i;

	printk(version);
	if (pci_enable_device(pdev))
		return -EIO;
	if (!pci_dma_supported(pdev, (dma_addr_t) 0xffffffff)) {
		printk(KERN_ERR "ring: no 32-bit DMA\n");
		return -EIO;
	}
	pdev->dma_mask = 0xffffffff;
	if (pci_request_regions(pdev, "ring"))
		return -EBUSY;
	pci_set_master(pdev);
	pci_read_config_byte(pdev, PCI_LATENCY_TIMER, &latency);
	if (latency < 32)
		pci_write_config_byte(pdev, PCI_LATENCY_TIMER, 32);

	rp = kmalloc(sizeof(*rp), GFP_KERNEL);
	if (rp == NULL)
		goto out_regions;
	memset(rp, 0, sizeof(*rp));
	rp->pci_dev = pdev;
	sprintf(rp->name, "ring%d", cards_found++);
	rp->lock = SPIN_LOCK_UNLOCKED;
	skb_queue_head_init(&rp->rx_queue);
	rp->ioaddr = ioremap(pci_resource_start(pdev, 0), pci_resource_len(pdev, 0));
	if (rp->ioaddr == NULL)
		goto out_free;
	ring = pci_alloc_consistent(pdev, RX_RING_BYTES + TX_RING_BYTES, &rp->ring_dma);
	if (ring == NULL)
		goto out_unmap;
	rp->rx_ring = ring;
	rp->tx_ring = rp->rx_ring + RX_RING_SIZE;
	for (i = 0; i < RX_RING_SIZE; i++)
		if (ring_refill(rp, i))
			BUG();
	if (request_irq(pdev->irq, &ring_interrupt, SA_SHIRQ, rp->name, rp))
		BUG();
	writeq(rp->ring_dma + RX_RING_BYTES, rp->ioaddr + TxRingPtr);
	writel(TX_RING_SIZE, rp->ioaddr + TxRingLen);
	writeq(rp->ring_dma, rp->ioaddr + RxRingPtr);
	writel(RX_RING_SIZE, rp->ioaddr + RxRingLen);
	writel(IntrRxDone | IntrTxDone, rp->ioaddr + IntrMask);
	writel(1, rp->ioaddr + CtlReg);
	set_bit(STATE_RUNNING, &rp->state);
	init_timer(&rp->timer);
	rp->timer.expires = jiffies + HZ / 20;
	rp->timer.data = (unsigned long) rp;
	rp->timer.function = &ring_timer;
	add_timer(&rp->timer);
	spin_lock(&ring_cards_lock);
	list_add_tail(&rp->cards, &ring_cards);
	spin_unlock(&ring_cards_lock);
	pci_set_drvdata(pdev, rp);
	printk(KERN_INFO "%s: at 0x%lx, IRQ %d.\n", rp->name,
	       pci_resource_start(pdev, 0), pdev->irq);
	return 0;

out_unmap:
	iounmap(rp->ioaddr);
out_free:
	kfree(rp);
out_regions:
	pci_release_regions(pdev);
	return -ENOMEM;
}

static void __devexit ring_remove_one(struct pci_dev *pdev)
{
	struct ring_private *rp = pci_get_drvdata(pdev);
	int i;

	spin_lock(&ring_cards_lock);
	list_del(&rp->cards);
	spin_unlock(&ring_cards_lock);
	clear_bit(STATE_RUNNING, &rp->state);
	del_timer_sync(&rp->timer);
	writel(0, rp->ioaddr + IntrMask);
	writel(0, rp->ioaddr + CtlReg);
	free_irq(pdev->irq, rp);
	for (i = 0; i < RX_RING_SIZE; i++) {
		struct ring_info *info = &rp->rx_info[i];

		if (info->skb == NULL)
			continue;
		pci_unmap_single(pdev, pci_unmap_addr(info, mapping),
				 pci_unmap_len(info, len), PCI_DMA_FROMDEVICE);
		dev_kfree_skb(info->skb);
	}
	ring_tx_done(rp);
	skb_queue_purge(&rp->rx_queue);
	pci_free_consistent(pdev, RX_RING_BYTES + TX_RING_BYTES, rp->rx_ring, rp->ring_dma);
	iounmap(rp->ioaddr);
	pci_release_regions(pdev);
	pci_disable_device(pdev);
	kfree(rp);
	pci_set_drvdata(pdev, NULL);
}

static struct pci_device_id ring_pci_tbl[] __devinitdata = {
	{ 0x1234, 0x11e9, PCI_ANY_ID, PCI_ANY_ID, },
	{ 0, },
};
MODULE_DEVICE_TABLE(pci, ring_pci_tbl);

static struct pci_driver ring_driver = {
	name:		"ring",
	id_table:	ring_pci_tbl,
	probe:		ring_init_one,
	remove:		__devexit_p(ring_remove_one),
};

static int __init ring_init(void)
{
	return pci_module_init(&ring_driver);
}

static void __exit ring_exit(void)
{
	pci_unregister_driver(&ring_driver);
}

module_init(ring_init);
module_exit(ring_exit);
