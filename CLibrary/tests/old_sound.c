/* SPDX-License-Identifier: Apache-2.0
 *
 * A sound card's driver from before the driver model: it looks for its card itself, has two masks,
 * plays from a consistent buffer of periods that a user fills, and records into kmalloc's memory. It
 * knows nothing of this library. */

#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/pci.h>
#include <linux/init.h>
#include <linux/delay.h>
#include <linux/ioport.h>
#include <linux/wait.h>
#include <asm/uaccess.h>
#include <asm/io.h>
#include <asm/irq.h>
#include <asm/system.h>

#define PERIODS		4
#define PERIOD_SIZE	1024
#define CARD_BUFFER	0x40000
#define PLAYBACK_ADDRESS_BITS	0x0fffffff
#define RECORD_ADDRESS_BITS	0x00ffffff

#define MIN(a, b)	((a) < (b) ? (a) : (b))

struct sound_card {
	struct pci_dev		*dev;
	unsigned long		iobase;
	volatile unsigned long	flags;
#define SOUND_OPEN	0
#define SOUND_BUSY	1
	unsigned char		*buf;
	dma_addr_t		dmabuf;
	int			playback_enabled, record_enabled;
	int			hwptr, swptr;
	wait_queue_head_t	wait;
	spinlock_t		lock;
};

static struct sound_card cards[2];
static int card_count;
unsigned int sound_periods;

static void sound_start(struct sound_card *s, dma_addr_t addr, int size, int to_memory)
{
	set_bit(SOUND_BUSY, &s->flags);
	writeq(to_memory ? CARD_BUFFER : addr, s->iobase + 0x80);
	writeq(to_memory ? addr : CARD_BUFFER, s->iobase + 0x88);
	writeq(size, s->iobase + 0x90);
	mb();
	writel(1 | 4 | (to_memory ? 2 : 0), s->iobase + 0x98);
}

static void sound_interrupt(int irq, void *dev_id, struct pt_regs *regs)
{
	struct sound_card *s = (struct sound_card *) dev_id;
	u32 status = readl(s->iobase + 0x24);

	if (!status)
		return;
	writel(status, s->iobase + 0x64);
	spin_lock(&s->lock);
	if (test_and_clear_bit(SOUND_BUSY, &s->flags)) {
		sound_periods++;
		wake_up_interruptible(&s->wait);
	}
	spin_unlock(&s->lock);
}

static int sound_wait(struct sound_card *s)
{
	unsigned long deadline = jiffies + HZ;

	while (test_bit(SOUND_BUSY, &s->flags)) {
		if (time_after(jiffies, deadline))
			return -EIO;
		if (signal_pending(current))
			return -EINTR;
		interruptible_sleep_on_timeout(&s->wait, 2);
	}
	return 0;
}

int sound_open(int minor)
{
	if (minor >= card_count)
		return -ENODEV;
	if (test_and_set_bit(SOUND_OPEN, &cards[minor].flags))
		return -EBUSY;
	MOD_INC_USE_COUNT;
	return 0;
}

void sound_release(int minor)
{
	clear_bit(SOUND_OPEN, &cards[minor].flags);
	MOD_DEC_USE_COUNT;
}

int sound_write(int minor, const char *user, int count)
{
	struct sound_card *s = &cards[minor];
	int done = 0, err;

	if (!s->playback_enabled)
		return -ENODEV;
	while (done < count) {
		int n = MIN(count - done, PERIOD_SIZE);

		if (copy_from_user(s->buf + s->swptr * PERIOD_SIZE, user + done, n))
			return -EFAULT;
		wmb();
		sound_start(s, s->dmabuf + s->swptr * PERIOD_SIZE, n, 0);
		if ((err = sound_wait(s)) != 0)
			return err;
		s->swptr = (s->swptr + 1) % PERIODS;
		done += n;
	}
	return done;
}

int sound_read(int minor, char *user, int count)
{
	struct sound_card *s = &cards[minor];
	unsigned char *tmp;
	dma_addr_t addr;
	int err;

	if (!s->record_enabled)
		return -ENODEV;
	count = MIN(count, PERIOD_SIZE);
	tmp = kmalloc(count, GFP_ATOMIC | GFP_DMA);
	if (!tmp)
		return -ENOMEM;
	addr = pci_map_single(s->dev, tmp, count, PCI_DMA_FROMDEVICE);
	sound_start(s, addr, count, 1);
	err = sound_wait(s);
	pci_unmap_single(s->dev, addr, count, PCI_DMA_FROMDEVICE);
	if (!err && copy_to_user(user, tmp, count))
		err = -EFAULT;
	kfree(tmp);
	return err ? err : count;
}

static int __init sound_setup(struct pci_dev *dev)
{
	struct sound_card *s = &cards[card_count];
	unsigned long flags;

	memset(s, 0, sizeof(*s));
	s->dev = dev;
	init_waitqueue_head(&s->wait);
	spin_lock_init(&s->lock);
	if (pci_enable_device(dev))
		return -EIO;
	pci_set_master(dev);
	if (pci_set_dma_mask(dev, PLAYBACK_ADDRESS_BITS)) {
		s->playback_enabled = 0;
		printk(KERN_WARN "sound: Playback disabled due to DMA limitations.\n");
	} else {
		s->playback_enabled = 1;
	}
	if (pci_set_dma_mask(dev, RECORD_ADDRESS_BITS)) {
		s->record_enabled = 0;
		printk(KERN_WARN "sound: Record disabled due to DMA limitations.\n");
	} else {
		s->record_enabled = 1;
	}
	if (!s->playback_enabled && !s->record_enabled)
		return -ENODEV;
	if (!request_mem_region(pci_resource_start(dev, 0), pci_resource_len(dev, 0), "sound"))
		return -EBUSY;
	s->iobase = (unsigned long) ioremap_nocache(pci_resource_start(dev, 0),
						    pci_resource_len(dev, 0));
	s->buf = pci_alloc_consistent(dev, PERIODS * PERIOD_SIZE, &s->dmabuf);
	if (!s->iobase || !s->buf)
		return -ENOMEM;
	mem_map_reserve(virt_to_page(s->buf));
	if (request_irq(dev->irq, sound_interrupt, SA_SHIRQ, "sound", s))
		return -EBUSY;
	save_flags(flags);
	cli();
	card_count++;
	restore_flags(flags);
	return 0;
}

static int __init sound_init(void)
{
	struct pci_dev *dev = NULL;

	if (!pci_present())
		return -ENODEV;
	while (card_count < 2 && (dev = pci_find_device(0x1234, 0x11e8, dev)) != NULL)
		sound_setup(dev);
	return card_count ? 0 : -ENODEV;
}

static void __exit sound_exit(void)
{
	while (card_count > 0) {
		struct sound_card *s = &cards[--card_count];

		free_irq(s->dev->irq, s);
		mem_map_unreserve(virt_to_page(s->buf));
		pci_free_consistent(s->dev, PERIODS * PERIOD_SIZE, s->buf, s->dmabuf);
		iounmap((void *) s->iobase);
		release_mem_region(pci_resource_start(s->dev, 0), pci_resource_len(s->dev, 0));
	}
}

module_init(sound_init);
module_exit(sound_exit);
MODULE_SUPPORTED_DEVICE("sound");
EXPORT_NO_SYMBOLS;
