/* SPDX-License-Identifier: Apache-2.0
 *
 * A driver file in the manner of its time: old includes, old initialisers, registers in integers, the
 * driver model, a ring, a timer and a bottom half. It knows nothing of this library. */

#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/pci.h>
#include <linux/init.h>
#include <linux/delay.h>
#include <linux/slab.h>
#include <linux/errno.h>
#include <linux/interrupt.h>
#include <linux/ioport.h>
#include <linux/timer.h>
#include <asm/io.h>
#include <asm/system.h>

#define EDU_IDENT	0x00
#define EDU_LIVE	0x04
#define EDU_FACT	0x08
#define EDU_STATUS	0x20
#define EDU_INTR	0x24
#define EDU_ACK		0x64
#define EDU_SRC		0x80
#define EDU_DST		0x88
#define EDU_CNT		0x90
#define EDU_CMD		0x98
#define EDU_BUFFER	0x40000

#define CMD_START	1
#define CMD_TO_MEMORY	2
#define CMD_INTERRUPT	4

MODULE_AUTHOR("nobody");
MODULE_DESCRIPTION("edu");
MODULE_PARM(debug, "i");

static int debug = 0;

struct edu {
	struct pci_dev *pdev;
	unsigned long ioaddr;
	spinlock_t lock;
	wait_queue_head_t wait;
	volatile int done;
	int ticks;
	struct timer_list timer;
	struct tasklet_struct task;
	int task_runs;
};

int edu_transfers;
int edu_ticks;
int edu_tasks;

static void edu_interrupt(int irq, void *dev_id, struct pt_regs *regs)
{
	struct edu *ep = dev_id;
	u32 status;

	spin_lock(&ep->lock);
	status = readl(ep->ioaddr + EDU_INTR);
	if (status) {
		writel(status, ep->ioaddr + EDU_ACK);
		ep->done = 1;
		tasklet_schedule(&ep->task);
		wake_up(&ep->wait);
	}
	spin_unlock(&ep->lock);
}

static void edu_task(unsigned long data)
{
	struct edu *ep = (struct edu *) data;

	ep->task_runs++;
}

static void edu_timer(unsigned long data)
{
	struct edu *ep = (struct edu *) data;

	ep->ticks++;
	mod_timer(&ep->timer, jiffies + 1);
}

static int edu_copy(struct edu *ep, void *buf, size_t len, int to_device)
{
	dma_addr_t handle;
	int dir = to_device ? PCI_DMA_TODEVICE : PCI_DMA_FROMDEVICE;
	unsigned long flags;

	handle = pci_map_single(ep->pdev, buf, len, dir);
	if (pci_dma_mapping_error(ep->pdev, handle))
		return -ENOMEM;

	spin_lock_irqsave(&ep->lock, flags);
	ep->done = 0;
	writeq(to_device ? handle : EDU_BUFFER, ep->ioaddr + EDU_SRC);
	writeq(to_device ? EDU_BUFFER : handle, ep->ioaddr + EDU_DST);
	writeq(len, ep->ioaddr + EDU_CNT);
	writel(CMD_START | CMD_INTERRUPT | (to_device ? 0 : CMD_TO_MEMORY),
	       ep->ioaddr + EDU_CMD);
	spin_unlock_irqrestore(&ep->lock, flags);

	wait_event(&ep->wait, ep->done);
	pci_unmap_single(ep->pdev, handle, len, dir);
	edu_transfers++;
	return 0;
}

static int __devinit edu_init_one(struct pci_dev *pdev,
				  const struct pci_device_id *ent)
{
	struct edu *ep;
	unsigned long start, len;
	unsigned char *buf;
	int i, err = -ENODEV;

	if (pci_enable_device(pdev))
		return -EIO;
	if (pci_set_dma_mask(pdev, 0x0fffffff)) {
		printk(KERN_WARNING "edu: no 28 bit DMA\n");
		return -EIO;
	}
	pci_set_master(pdev);

	ep = kmalloc(sizeof(*ep), GFP_KERNEL);
	if (!ep)
		return -ENOMEM;
	memset(ep, 0, sizeof(*ep));
	ep->pdev = pdev;
	spin_lock_init(&ep->lock);
	init_waitqueue_head(&ep->wait);
	tasklet_init(&ep->task, edu_task, (unsigned long) ep);

	start = pci_resource_start(pdev, 0);
	len = pci_resource_len(pdev, 0);
	if (!request_mem_region(start, len, "edu"))
		goto out;
	ep->ioaddr = (unsigned long) ioremap(start, len);
	if (!ep->ioaddr)
		goto out_region;
	if ((readl(ep->ioaddr + EDU_IDENT) & 0xff) != 0xed)
		goto out_unmap;
	if (request_irq(pdev->irq, edu_interrupt, SA_SHIRQ, "edu", ep))
		goto out_unmap;
	pci_set_drvdata(pdev, ep);

	init_timer(&ep->timer);
	ep->timer.function = edu_timer;
	ep->timer.data = (unsigned long) ep;
	ep->timer.expires = jiffies + 1;
	add_timer(&ep->timer);

	buf = kmalloc(2048, GFP_KERNEL | GFP_DMA);
	if (!buf)
		goto out_irq;
	for (i = 0; i < 2048; i++)
		buf[i] = i * 7;
	err = edu_copy(ep, buf, 2048, 1);
	memset(buf, 0, 2048);
	if (!err)
		err = edu_copy(ep, buf, 2048, 0);
	for (i = 0; i < 2048 && !err; i++)
		if (buf[i] != (unsigned char) (i * 7))
			err = -EIO;
	kfree(buf);
	if (err)
		goto out_irq;
	mdelay(50);
	if (debug)
		printk(KERN_DEBUG "edu: %d ticks\n", ep->ticks);
	return 0;

out_irq:
	del_timer_sync(&ep->timer);
	free_irq(pdev->irq, ep);
out_unmap:
	iounmap((void *) ep->ioaddr);
out_region:
	release_mem_region(start, len);
out:
	kfree(ep);
	return err;
}

static void __devexit edu_remove_one(struct pci_dev *pdev)
{
	struct edu *ep = pci_get_drvdata(pdev);

	del_timer_sync(&ep->timer);
	free_irq(pdev->irq, ep);
	edu_ticks = ep->ticks;
	edu_tasks = ep->task_runs;
	iounmap((void *) ep->ioaddr);
	release_mem_region(pci_resource_start(pdev, 0), pci_resource_len(pdev, 0));
	kfree(ep);
}

static struct pci_device_id edu_tbl[] __devinitdata = {
	{ 0x1234, 0x11e8, PCI_ANY_ID, PCI_ANY_ID, 0, 0, 0 },
	{ 0, 0, 0, 0, 0, 0, 0 }
};
MODULE_DEVICE_TABLE(pci, edu_tbl);

static struct pci_driver edu_driver = {
	name:		"edu",
	id_table:	edu_tbl,
	probe:		edu_init_one,
	remove:		edu_remove_one,
};

static int __init edu_init(void)
{
	return pci_module_init(&edu_driver);
}

static void __exit edu_exit(void)
{
	pci_unregister_driver(&edu_driver);
}

module_init(edu_init);
module_exit(edu_exit);
