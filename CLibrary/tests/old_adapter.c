/* SPDX-License-Identifier: Apache-2.0
 *
 * A SCSI adapter's driver in the manner of its time: control blocks from a pool, each with its list of
 * pieces, commands with a scatter list, one buffer or a page, a queue, a timeout for each. It knows
 * nothing of this library. */

#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/pci.h>
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/errno.h>
#include <linux/list.h>
#include <linux/string.h>
#include <linux/interrupt.h>
#include <linux/timer.h>
#include <linux/spinlock.h>
#include <asm/io.h>
#include <asm/page.h>
#include <asm/scatterlist.h>
#include <asm/semaphore.h>

#include "old_adapter.h"

#define DRIVER_NAME	"old_adapter"

struct control_block {
	struct adapter_block	*block;
	dma_addr_t		block_dma;
	struct list_head	list;
	Scsi_Cmnd		*cmd;
	dma_addr_t		data_dma;
	struct timer_list	timer;
};

struct adapter {
	struct pci_dev		*pdev;
	unsigned long		base;
	struct pci_pool		*pool;
	kmem_cache_t		*cache;
	struct list_head	active;
	spinlock_t		lock;
	struct semaphore	slots;
	int			timeouts;
};

static struct adapter *host;

static void adapter_timeout(unsigned long data)
{
	struct control_block *cb = (struct control_block *) data;

	host->timeouts++;
	printk(KERN_ERR DRIVER_NAME ": command %p timed out\n", cb->cmd);
}

static int map_command(struct adapter *ap, struct control_block *cb)
{
	Scsi_Cmnd *cmd = cb->cmd;
	struct adapter_block *block = cb->block;
	int dir = scsi_to_pci_dma_dir(cmd->sc_data_direction);
	int i, count;

	if (dir == PCI_DMA_NONE || cmd->request_bufflen == 0) {
		block->sg_count = 0;
		return 0;
	}
	if (cmd->use_sg) {
		struct scatterlist *sg = (struct scatterlist *) cmd->request_buffer;

		count = pci_map_sg(ap->pdev, sg, cmd->use_sg, dir);
		if (count == 0)
			return -EIO;
		for (i = 0; i < count; i++, sg++) {
			block->sg[i].address = cpu_to_le64(sg_dma_address(sg));
			block->sg[i].length = cpu_to_le32(sg_dma_len(sg));
		}
		block->sg_count = cpu_to_le32(count);
		return 0;
	}
	if (cmd->use_page)
		cb->data_dma = pci_map_page(ap->pdev, virt_to_page(cmd->request_buffer),
					    (unsigned long) cmd->request_buffer & ~PAGE_MASK,
					    cmd->request_bufflen, dir);
	else
		cb->data_dma = pci_map_single(ap->pdev, cmd->request_buffer,
					      cmd->request_bufflen, dir);
	block->sg[0].address = cpu_to_le64(cb->data_dma);
	block->sg[0].length = cpu_to_le32(cmd->request_bufflen);
	block->sg_count = cpu_to_le32(1);
	return 0;
}

static void unmap_command(struct adapter *ap, struct control_block *cb)
{
	Scsi_Cmnd *cmd = cb->cmd;
	int dir = scsi_to_pci_dma_dir(cmd->sc_data_direction);

	if (dir == PCI_DMA_NONE || cmd->request_bufflen == 0)
		return;
	if (cmd->use_sg)
		pci_unmap_sg(ap->pdev, (struct scatterlist *) cmd->request_buffer,
			     cmd->use_sg, dir);
	else if (cmd->use_page)
		pci_unmap_page(ap->pdev, cb->data_dma, cmd->request_bufflen, dir);
	else
		pci_unmap_single(ap->pdev, cb->data_dma, cmd->request_bufflen, dir);
}

int adapter_queue(Scsi_Cmnd *cmd, void (*done)(Scsi_Cmnd *))
{
	struct adapter *ap = host;
	struct control_block *cb;
	unsigned long flags;

	if (ap == NULL)
		return -ENODEV;
	if (down_interruptible(&ap->slots))
		return -EINTR;
	cb = kmem_cache_alloc(ap->cache, SLAB_KERNEL);
	if (cb == NULL)
		goto no_memory;
	memset(cb, 0, sizeof(*cb));
	cb->block = pci_pool_alloc(ap->pool, SLAB_KERNEL, &cb->block_dma);
	if (cb->block == NULL)
		goto no_block;
	memset(cb->block, 0, sizeof(*cb->block));
	cmd->scsi_done = done;
	cb->cmd = cmd;
	memcpy(cb->block->cdb, cmd->cmnd, sizeof(cb->block->cdb));
	cb->block->cookie = (u64) (unsigned long) cb;
	if (map_command(ap, cb) < 0)
		goto no_mapping;
	init_timer(&cb->timer);
	cb->timer.data = (unsigned long) cb;
	cb->timer.function = adapter_timeout;
	cb->timer.expires = jiffies + 5 * HZ;
	add_timer(&cb->timer);

	spin_lock_irqsave(&ap->lock, flags);
	list_add_tail(&cb->list, &ap->active);
	wmb();
	writeq(cb->block_dma, ap->base + ADAPTER_DOORBELL);
	spin_unlock_irqrestore(&ap->lock, flags);
	return 0;

no_mapping:
	pci_pool_free(ap->pool, cb->block, cb->block_dma);
no_block:
	kmem_cache_free(ap->cache, cb);
no_memory:
	up(&ap->slots);
	return -ENOMEM;
}

static void adapter_interrupt(int irq, void *dev_id, struct pt_regs *regs)
{
	struct adapter *ap = dev_id;
	struct list_head *pos, *next;
	LIST_HEAD(finished);

	spin_lock(&ap->lock);
	if (!(readl(ap->base + ADAPTER_STATUS) & 1)) {
		spin_unlock(&ap->lock);
		return;
	}
	writel(1, ap->base + ADAPTER_STATUS);
	list_for_each_safe(pos, next, &ap->active) {
		struct control_block *cb = list_entry(pos, struct control_block, list);

		if (le32_to_cpu(*(volatile u32 *) &cb->block->status) == BLOCK_BUSY)
			continue;
		rmb();
		list_del(&cb->list);
		list_add_tail(&cb->list, &finished);
	}
	spin_unlock(&ap->lock);
	while (!list_empty(&finished)) {
		struct control_block *cb = list_entry(finished.next, struct control_block, list);
		Scsi_Cmnd *cmd = cb->cmd;

		list_del(&cb->list);
		del_timer(&cb->timer);
		unmap_command(ap, cb);
		cmd->result = le32_to_cpu(cb->block->status) == BLOCK_GOOD ? 0 : -EIO;
		pci_pool_free(ap->pool, cb->block, cb->block_dma);
		kmem_cache_free(ap->cache, cb);
		up(&ap->slots);
		cmd->scsi_done(cmd);
	}
}

static int __devinit adapter_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct adapter *ap;

	if (pci_enable_device(pdev) || pci_set_dma_mask(pdev, 0xffffffff))
		return -EIO;
	pci_set_master(pdev);
	ap = kmalloc(sizeof(*ap), GFP_KERNEL);
	if (!ap)
		return -ENOMEM;
	memset(ap, 0, sizeof(*ap));
	ap->pdev = pdev;
	spin_lock_init(&ap->lock);
	INIT_LIST_HEAD(&ap->active);
	sema_init(&ap->slots, 8);
	ap->pool = pci_pool_create(DRIVER_NAME, pdev, sizeof(struct adapter_block), 16, 4096,
				   SLAB_KERNEL);
	ap->cache = kmem_cache_create("control", sizeof(struct control_block), 0,
				      SLAB_HWCACHE_ALIGN, NULL, NULL);
	ap->base = (unsigned long) ioremap_nocache(pci_resource_start(pdev, 0),
						   pci_resource_len(pdev, 0));
	if (!ap->pool || !ap->cache || !ap->base)
		goto out;
	if (request_irq(pdev->irq, adapter_interrupt, SA_INTERRUPT | SA_SHIRQ, DRIVER_NAME, ap))
		goto out;
	pdev->driver_data = ap;
	host = ap;
	return 0;
out:
	if (ap->base)
		iounmap((void *) ap->base);
	if (ap->cache)
		kmem_cache_destroy(ap->cache);
	if (ap->pool)
		pci_pool_destroy(ap->pool);
	kfree(ap);
	return -ENOMEM;
}

static void __devexit adapter_remove(struct pci_dev *pdev)
{
	struct adapter *ap = pdev->driver_data;

	if (!list_empty(&ap->active))
		BUG();
	host = NULL;
	free_irq(pdev->irq, ap);
	iounmap((void *) ap->base);
	if (kmem_cache_destroy(ap->cache))
		printk(KERN_WARNING DRIVER_NAME ": cache in use\n");
	pci_pool_destroy(ap->pool);
	kfree(ap);
}

static const struct pci_device_id adapter_ids[] = {
	{ ADAPTER_VENDOR, ADAPTER_DEVICE, PCI_ANY_ID, PCI_ANY_ID, 0, 0, 0 },
	{ 0, 0, 0, 0, 0, 0, 0 }
};

static struct pci_driver adapter_driver = {
	.name = DRIVER_NAME,
	.id_table = adapter_ids,
	.probe = adapter_probe,
	.remove = adapter_remove,
};

static int __init adapter_init(void) { return pci_module_init(&adapter_driver); }
static void __exit adapter_exit(void) { pci_unregister_driver(&adapter_driver); }
module_init(adapter_init);
module_exit(adapter_exit);
