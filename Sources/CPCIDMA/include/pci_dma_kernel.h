/* SPDX-License-Identifier: Apache-2.0
 *
 * What a driver of the classic calls needs around it: the kernel's memory, locks, interrupts,
 * registers, time and PCI driver model, as far as a driver file of Linux 2.4's era uses them.
 * Written from what those calls do; no kernel source was used.
 *
 * Memory and time are those of the current machine (swiftdma_machine_select). Interrupts are
 * delivered to a thread that waits: in udelay and mdelay, wait_event and its kin, schedule,
 * schedule_timeout, a blocking pool allocation, and swiftdma_run; never with a lock held or
 * interrupts off.
 *
 * There is no virt_to_bus and no bus_to_virt: bus addresses come from the mapping calls only.
 */

#ifndef PCI_DMA_KERNEL_H
#define PCI_DMA_KERNEL_H

#include "pci_dma.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- Types ------------------------------------------------------------------------------- */

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef uint8_t __u8;
typedef uint16_t __u16;
typedef uint32_t __u32;
typedef uint64_t __u64;
typedef int8_t __s8;
typedef int16_t __s16;
typedef int32_t __s32;
typedef int64_t __s64;

#define __init
#define __initdata
#define __exit
#define __exitdata
#define __devinit
#define __devinitdata
#define __devexit
#define __devexit_p(function) function
#define __iomem
#define __user
#ifndef __cplusplus
#define asmlinkage
#else
#define asmlinkage extern "C"
#endif
#define FASTCALL(function) function
#ifndef likely
#define likely(condition) (condition)
#define unlikely(condition) (condition)
#endif
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define container_of(pointer, type, member) \
  ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096UL
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define PAGE_ALIGN(address) (((address) + PAGE_SIZE - 1) & PAGE_MASK)
#define L1_CACHE_BYTES 64
#define SMP_CACHE_BYTES 64
#define HZ 100

/* --- Messages ---------------------------------------------------------------------------- */

#define KERN_EMERG "<0>"
#define KERN_ALERT "<1>"
#define KERN_CRIT "<2>"
#define KERN_ERR "<3>"
#define KERN_WARNING "<4>"
/* A name that only the document's sample has. */
#define KERN_WARN KERN_WARNING
#define KERN_NOTICE "<5>"
#define KERN_INFO "<6>"
#define KERN_DEBUG "<7>"

#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
int printk(const char *format, ...);
/* Reports and ends the program. */
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2), noreturn))
#endif
void panic(const char *format, ...);
void swiftdma_bug(const char *file, int line);
#define BUG() swiftdma_bug(__FILE__, __LINE__)
#define BUG_ON(condition)   \
  do {                      \
    if (condition) BUG();   \
  } while (0)

/* --- Memory ------------------------------------------------------------------------------ */

/* What these return may be mapped by its address, wherever in it. With GFP_DMA it lies below
 * 16 MiB. NULL or 0 when there is none; never waits. kmalloc's memory is not zeroed. */
void *kmalloc(size_t size, int flags);
void *kzalloc(size_t size, int flags);
/* NULL is allowed. Memory that a device still has is a finding. */
void kfree(const void *memory);
unsigned long __get_free_pages(int flags, unsigned long order);
unsigned long get_zeroed_page(int flags);
void free_pages(unsigned long address, unsigned long order);
#define __get_free_page(flags) __get_free_pages((flags), 0)
#define get_free_page(flags) get_zeroed_page(flags)
#define __get_dma_pages(flags, order) __get_free_pages((flags) | GFP_DMA, (order))
#define free_page(address) free_pages((address), 0)
int get_order(unsigned long size);

typedef struct kmem_cache kmem_cache_t;
kmem_cache_t *kmem_cache_create(const char *name, size_t size, size_t offset, unsigned long flags,
                                void (*constructor)(void *, kmem_cache_t *, unsigned long),
                                void (*destructor)(void *, kmem_cache_t *, unsigned long));
void *kmem_cache_alloc(kmem_cache_t *cache, int flags);
void kmem_cache_free(kmem_cache_t *cache, void *object);
/* Not zero with objects in use: the cache stays. */
int kmem_cache_destroy(kmem_cache_t *cache);
int kmem_cache_shrink(kmem_cache_t *cache);

/* Virtually contiguous: may NOT be mapped by its address. NULL where a machine has no such memory. */
void *vmalloc(unsigned long size);
void vfree(void *memory);
/* The page underneath an address of vmalloc, which may be mapped; and the linear address of a
 * page. What `vmalloc_to_page` needs page tables for in the kernel. */
struct page *vmalloc_to_page(void *address);
void *page_address(struct page *page);
struct page *virt_to_page(const void *address);
/* The pages underneath `size` bytes as a scatter list that may be mapped; neighbours are joined.
 * Returns how many entries, or -ENOSPC for more than `entry_count`, -EFAULT for other memory. */
int swiftdma_vmalloc_to_sg(const void *address, size_t size, struct scatterlist *sg,
                           int entry_count);

/* Buffers as the block layer hands to drivers, for tests: always fit for DMA. */
void *swiftdma_block_buffer(unsigned int sector_count);
void swiftdma_block_buffer_free(void *buffer);

/* --- Network buffers --------------------------------------------------------------------- */

struct net_device;

struct sk_buff {
  struct sk_buff *next;
  struct sk_buff *prev;
  struct net_device *dev;
  unsigned int len;
  unsigned int truesize;
  unsigned short protocol;
  unsigned char ip_summed;
  unsigned char *head;
  unsigned char *data;
  unsigned char *tail;
  unsigned char *end;
  char cb[48];
};

#define CHECKSUM_NONE 0
#define CHECKSUM_HW 1
#define CHECKSUM_UNNECESSARY 2

struct sk_buff *alloc_skb(unsigned int size, int flags);
/* With 16 bytes of headroom. */
struct sk_buff *dev_alloc_skb(unsigned int size);
void kfree_skb(struct sk_buff *skb);
#define dev_kfree_skb(skb) kfree_skb(skb)
#define dev_kfree_skb_irq(skb) kfree_skb(skb)
#define dev_kfree_skb_any(skb) kfree_skb(skb)
/* More than there is room for is a BUG. */
unsigned char *skb_put(struct sk_buff *skb, unsigned int size);
unsigned char *skb_push(struct sk_buff *skb, unsigned int size);
unsigned char *skb_pull(struct sk_buff *skb, unsigned int size);
void skb_reserve(struct sk_buff *skb, unsigned int size);
void skb_trim(struct sk_buff *skb, unsigned int size);
int skb_tailroom(const struct sk_buff *skb);
int skb_headroom(const struct sk_buff *skb);

/* --- Locks and contexts ------------------------------------------------------------------ */

/* Pointers to nothing, so that their initial values are constants wherever C wants one: in static
 * variables and members, and in assignments. */
typedef struct swiftdma_spin *spinlock_t;
typedef struct swiftdma_readers *rwlock_t;
#define SPIN_LOCK_UNLOCKED ((spinlock_t)0)
#define DEFINE_SPINLOCK(name) spinlock_t name = SPIN_LOCK_UNLOCKED
#define RW_LOCK_UNLOCKED ((rwlock_t)0)

void spin_lock_init(spinlock_t *lock);
/* While one is held the thread must not wait. Taking one's own lock again is a BUG. */
void spin_lock(spinlock_t *lock);
void spin_unlock(spinlock_t *lock);
int spin_trylock(spinlock_t *lock);
int spin_is_locked(const spinlock_t *lock);
void spin_lock_irq(spinlock_t *lock);
void spin_unlock_irq(spinlock_t *lock);
unsigned long swiftdma_irq_save(void);
void swiftdma_irq_restore(unsigned long flags);
#define spin_lock_irqsave(lock, flags) \
  do {                                 \
    (flags) = swiftdma_irq_save();     \
    spin_lock(lock);                   \
  } while (0)
#define spin_unlock_irqrestore(lock, flags) \
  do {                                      \
    spin_unlock(lock);                      \
    swiftdma_irq_restore(flags);            \
  } while (0)
#define spin_lock_bh(lock) spin_lock(lock)
#define spin_unlock_bh(lock) spin_unlock(lock)
/* Many readers, one of which may be the same thread twice, or one writer. */
#define rwlock_init(lock) ((void)(*(lock) = RW_LOCK_UNLOCKED))
void read_lock(rwlock_t *lock);
void read_unlock(rwlock_t *lock);
void write_lock(rwlock_t *lock);
void write_unlock(rwlock_t *lock);
#define read_lock_irqsave(lock, flags)  \
  do {                                  \
    (flags) = swiftdma_irq_save();      \
    read_lock(lock);                    \
  } while (0)
#define read_unlock_irqrestore(lock, flags) \
  do {                                      \
    read_unlock(lock);                      \
    swiftdma_irq_restore(flags);            \
  } while (0)
#define write_lock_irqsave(lock, flags) \
  do {                                  \
    (flags) = swiftdma_irq_save();      \
    write_lock(lock);                   \
  } while (0)
#define write_unlock_irqrestore(lock, flags) \
  do {                                       \
    write_unlock(lock);                      \
    swiftdma_irq_restore(flags);             \
  } while (0)
#define local_irq_save(flags) ((flags) = swiftdma_irq_save())
#define local_irq_restore(flags) swiftdma_irq_restore(flags)
#define local_irq_disable() ((void)swiftdma_irq_save())
#define local_irq_enable() swiftdma_irq_restore(0)
#define save_flags(flags) ((flags) = swiftdma_irq_state())
#define save_and_cli(flags) ((flags) = swiftdma_irq_save())
#define restore_flags(flags) swiftdma_irq_restore(flags)
#define cli() local_irq_disable()
#define sti() local_irq_enable()
unsigned long swiftdma_irq_state(void);
/* Not zero while an interrupt handler runs on this thread. */
int in_interrupt(void);
#define in_irq() in_interrupt()
#define in_softirq() in_interrupt()

typedef struct {
  volatile int counter;
} atomic_t;
#define ATOMIC_INIT(value) {(value)}
void atomic_set(atomic_t *atomic, int value);
int atomic_read(const atomic_t *atomic);
void atomic_inc(atomic_t *atomic);
void atomic_dec(atomic_t *atomic);
void atomic_add(int value, atomic_t *atomic);
void atomic_sub(int value, atomic_t *atomic);
int atomic_dec_and_test(atomic_t *atomic);

void set_bit(int number, volatile void *word);
void clear_bit(int number, volatile void *word);
int test_bit(int number, const volatile void *word);
int test_and_set_bit(int number, volatile void *word);
int test_and_clear_bit(int number, volatile void *word);

struct semaphore {
  volatile int count;
};
#define DECLARE_MUTEX(name) struct semaphore name = {1}
#define DECLARE_MUTEX_LOCKED(name) struct semaphore name = {0}
void sema_init(struct semaphore *semaphore, int count);
#define init_MUTEX(semaphore) sema_init((semaphore), 1)
#define init_MUTEX_LOCKED(semaphore) sema_init((semaphore), 0)
void down(struct semaphore *semaphore);
int down_interruptible(struct semaphore *semaphore);
int down_trylock(struct semaphore *semaphore);
void up(struct semaphore *semaphore);

/* --- Waiting ----------------------------------------------------------------------------- */

/* These wait on the machine's own time: a simulated second takes far less. */
void udelay(unsigned long microseconds);
void mdelay(unsigned long milliseconds);
/* Gives devices a moment, and delivers interrupts. */
void schedule(void);
/* So many ticks (HZ a second); returns 0. */
long schedule_timeout(long ticks);
#define cpu_relax() schedule()
#define TASK_RUNNING 0
#define TASK_INTERRUPTIBLE 1
#define TASK_UNINTERRUPTIBLE 2
#define set_current_state(state) ((void)(state))
#define signal_pending(task) 0

/* Ticks since the machine started. */
unsigned long swiftdma_jiffies(void);
#define jiffies (swiftdma_jiffies())
#define time_after(a, b) ((long)((b) - (a)) < 0)
#define time_before(a, b) time_after(b, a)
#define time_after_eq(a, b) ((long)((a) - (b)) >= 0)
#define time_before_eq(a, b) time_after_eq(b, a)

typedef struct {
  volatile unsigned int wakeups;
} wait_queue_head_t;
#define DECLARE_WAIT_QUEUE_HEAD(name) wait_queue_head_t name = {0}
void init_waitqueue_head(wait_queue_head_t *queue);
void wake_up(wait_queue_head_t *queue);
#define wake_up_interruptible(queue) wake_up(queue)
#define wake_up_all(queue) wake_up(queue)
/* Until the next wake_up, or for so many ticks: returns those that are left. */
long swiftdma_sleep_on(wait_queue_head_t *queue, long ticks);
#define sleep_on(queue) ((void)swiftdma_sleep_on((queue), -1))
#define interruptible_sleep_on(queue) ((void)swiftdma_sleep_on((queue), -1))
#define sleep_on_timeout(queue, ticks) swiftdma_sleep_on((queue), (ticks))
#define interruptible_sleep_on_timeout(queue, ticks) swiftdma_sleep_on((queue), (ticks))
#define wait_event(queue, condition)    \
  do {                                  \
    (void)(queue);                      \
    while (!(condition)) schedule();    \
  } while (0)
#if defined(__GNUC__)
#define wait_event_interruptible(queue, condition) \
  __extension__({                                  \
    wait_event(queue, condition);                  \
    0;                                             \
  })
#endif

struct list_head {
  struct list_head *next, *prev;
};

struct timer_list {
  struct list_head list;
  unsigned long expires;
  unsigned long data;
  void (*function)(unsigned long data);
};
void init_timer(struct timer_list *timer);
void add_timer(struct timer_list *timer);
int mod_timer(struct timer_list *timer, unsigned long expires);
int del_timer(struct timer_list *timer);
#define del_timer_sync(timer) del_timer(timer)
int timer_pending(const struct timer_list *timer);

struct tasklet_struct {
  struct tasklet_struct *next;
  volatile unsigned long state;
  void (*func)(unsigned long data);
  unsigned long data;
};
#define DECLARE_TASKLET(name, function, argument) \
  struct tasklet_struct name = {NULL, 0, (function), (argument)}
void tasklet_init(struct tasklet_struct *tasklet, void (*function)(unsigned long data),
                  unsigned long data);
/* Runs it in interrupt context after the handlers. */
void tasklet_schedule(struct tasklet_struct *tasklet);
#define tasklet_hi_schedule(tasklet) tasklet_schedule(tasklet)
void tasklet_kill(struct tasklet_struct *tasklet);

/* --- Interrupts -------------------------------------------------------------------------- */

struct pt_regs;
/* Handlers return nothing: what files that compile for later kernels as well say instead. */
#ifndef IRQ_HANDLED
typedef void irqreturn_t;
#define IRQ_NONE
#define IRQ_HANDLED
#define IRQ_RETVAL(is_handled)
#endif

#define SA_SHIRQ 0x04000000
#define SA_INTERRUPT 0x20000000
#define SA_SAMPLE_RANDOM 0x10000000

/* `irq` is a device's (struct pci_dev). -EINVAL for another one, -EBUSY when it is taken and not
 * both are SA_SHIRQ, -ENOMEM. */
int request_irq(unsigned int irq, void (*handler)(int irq, void *device, struct pt_regs *registers),
                unsigned long flags, const char *name, void *device);
void free_irq(unsigned int irq, void *device);
void enable_irq(unsigned int irq);
void disable_irq(unsigned int irq);
#define disable_irq_nosync(irq) disable_irq(irq)
#define synchronize_irq() schedule()

/* --- Registers --------------------------------------------------------------------------- */

/* A cookie for a range of a device's BAR, for readl and its kin only: memory accesses to it end the
 * program. NULL for what is no BAR. */
void *ioremap(unsigned long bus_address, unsigned long size);
#define ioremap_nocache(bus_address, size) ioremap(bus_address, size)
void iounmap(void *cookie);

/* Little-endian, one access each. A write comes after all stores before it. Cookies that are none,
 * or a register across a BAR's end: reads give all ones, writes are lost, and it is a finding. */
u8 readb(const volatile void *address);
u16 readw(const volatile void *address);
u32 readl(const volatile void *address);
u64 readq(const volatile void *address);
void writeb(u8 value, volatile void *address);
void writew(u16 value, volatile void *address);
void writel(u32 value, volatile void *address);
void writeq(u64 value, volatile void *address);
/* Drivers of the time keep cookies in integers, too. */
#define readb(address) readb((const volatile void *)(uintptr_t)(address))
#define readw(address) readw((const volatile void *)(uintptr_t)(address))
#define readl(address) readl((const volatile void *)(uintptr_t)(address))
#define readq(address) readq((const volatile void *)(uintptr_t)(address))
#define writeb(value, address) writeb((u8)(value), (volatile void *)(uintptr_t)(address))
#define writew(value, address) writew((u16)(value), (volatile void *)(uintptr_t)(address))
#define writel(value, address) writel((u32)(value), (volatile void *)(uintptr_t)(address))
#define writeq(value, address) writeq((u64)(value), (volatile void *)(uintptr_t)(address))

/* Order the CPU's accesses to consistent memory as devices see them. */
void mb(void);
void rmb(void);
void wmb(void);
#define smp_mb() mb()
#define smp_rmb() rmb()
#define smp_wmb() wmb()
#define barrier() mb()

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "machines here are little-endian"
#endif
#define cpu_to_le16(value) ((u16)(value))
#define cpu_to_le32(value) ((u32)(value))
#define cpu_to_le64(value) ((u64)(value))
#define le16_to_cpu(value) ((u16)(value))
#define le32_to_cpu(value) ((u32)(value))
#define le64_to_cpu(value) ((u64)(value))
#define le16_to_cpup(pointer) (*(const u16 *)(pointer))
#define le32_to_cpup(pointer) (*(const u32 *)(pointer))
#define cpu_to_le32s(pointer) ((void)(pointer))
#define le32_to_cpus(pointer) ((void)(pointer))
#define swab16(value) ((u16)(((u16)(value) << 8) | ((u16)(value) >> 8)))
#define swab32(value)                                                                        \
  ((u32)(((u32)(value) << 24) | (((u32)(value) & 0xff00u) << 8) | (((u32)(value) >> 8) & 0xff00u) | \
         ((u32)(value) >> 24)))
#define cpu_to_be16(value) swab16(value)
#define cpu_to_be32(value) swab32(value)
#define be16_to_cpu(value) swab16(value)
#define be32_to_cpu(value) swab32(value)
#ifndef htons
#define htons(value) swab16(value)
#define ntohs(value) swab16(value)
#define htonl(value) swab32(value)
#define ntohl(value) swab32(value)
#endif

/* --- PCI devices ------------------------------------------------------------------------- */

#define PCI_ANY_ID (~0U)
#define PCI_VENDOR_ID 0x00
#define PCI_DEVICE_ID 0x02
#define PCI_COMMAND 0x04
#define PCI_COMMAND_IO 0x1
#define PCI_COMMAND_MEMORY 0x2
#define PCI_COMMAND_MASTER 0x4
#define PCI_COMMAND_INVALIDATE 0x10
#define PCI_COMMAND_PARITY 0x40
#define PCI_COMMAND_SERR 0x100
#define PCI_STATUS 0x06
#define PCI_CLASS_REVISION 0x08
#define PCI_REVISION_ID 0x08
#define PCI_CACHE_LINE_SIZE 0x0c
#define PCI_LATENCY_TIMER 0x0d
#define PCI_HEADER_TYPE 0x0e
#define PCI_BASE_ADDRESS_0 0x10
#define PCI_BASE_ADDRESS_1 0x14
#define PCI_BASE_ADDRESS_2 0x18
#define PCI_BASE_ADDRESS_3 0x1c
#define PCI_BASE_ADDRESS_4 0x20
#define PCI_BASE_ADDRESS_5 0x24
#define PCI_BASE_ADDRESS_SPACE 0x01
#define PCI_BASE_ADDRESS_SPACE_IO 0x01
#define PCI_BASE_ADDRESS_SPACE_MEMORY 0x00
#define PCI_BASE_ADDRESS_MEM_MASK (~0x0fUL)
#define PCI_SUBSYSTEM_VENDOR_ID 0x2c
#define PCI_SUBSYSTEM_ID 0x2e
#define PCI_INTERRUPT_LINE 0x3c
#define PCI_INTERRUPT_PIN 0x3d
#define PCI_MIN_GNT 0x3e
#define PCI_MAX_LAT 0x3f
#define PCI_CAP_ID_PM 0x01
#define PCI_CAP_ID_MSI 0x05

#define PCI_CLASS_STORAGE_SCSI 0x0100
#define PCI_CLASS_NETWORK_ETHERNET 0x0200
#define PCI_CLASS_MULTIMEDIA_AUDIO 0x0401
#define PCI_CLASS_SERIAL_USB 0x0c03

#define PCI_DEVFN(slot, function) ((((slot) & 0x1f) << 3) | ((function) & 0x07))
#define PCI_SLOT(devfn) (((devfn) >> 3) & 0x1f)
#define PCI_FUNC(devfn) ((devfn) & 0x07)

/* The devices of all machines, in the order in which they came; NULL begins. */
struct pci_dev *pci_find_device(unsigned int vendor, unsigned int device,
                                const struct pci_dev *from);
struct pci_dev *pci_find_class(unsigned int class_code, const struct pci_dev *from);
struct pci_dev *pci_find_slot(unsigned int bus, unsigned int devfn);
#define pci_present() 1
#define pci_for_each_dev(dev)                                        \
  for ((dev) = pci_find_device(PCI_ANY_ID, PCI_ANY_ID, NULL); (dev) != NULL; \
       (dev) = pci_find_device(PCI_ANY_ID, PCI_ANY_ID, (dev)))

/* Zero, or -EINVAL for an offset that is not aligned or outside, -ENODEV for no device. */
int pci_read_config_byte(struct pci_dev *dev, int where, u8 *value);
int pci_read_config_word(struct pci_dev *dev, int where, u16 *value);
int pci_read_config_dword(struct pci_dev *dev, int where, u32 *value);
int pci_write_config_byte(struct pci_dev *dev, int where, u8 value);
int pci_write_config_word(struct pci_dev *dev, int where, u16 value);
int pci_write_config_dword(struct pci_dev *dev, int where, u32 value);
/* Where a capability lies in configuration space; 0 when the device has none. */
int pci_find_capability(struct pci_dev *dev, int capability);

/* Lets the device's registers answer. */
int pci_enable_device(struct pci_dev *dev);
void pci_disable_device(struct pci_dev *dev);
/* Lets the device do DMA. */
void pci_set_master(struct pci_dev *dev);
void pci_clear_master(struct pci_dev *dev);
#define pci_resource_start(dev, bar) ((dev)->resource[bar].start)
#define pci_resource_end(dev, bar) ((dev)->resource[bar].end)
#define pci_resource_flags(dev, bar) ((dev)->resource[bar].flags)
#define pci_resource_len(dev, bar)                                      \
  (((dev)->resource[bar].start == 0 && (dev)->resource[bar].end == 0) ? 0 \
   : (dev)->resource[bar].end - (dev)->resource[bar].start + 1)
#define request_mem_region(start, size, name) ((void)(start), (void)(size), (void)(name), 1)
#define release_mem_region(start, size) ((void)(start), (void)(size))
#define check_mem_region(start, size) ((void)(start), (void)(size), 0)
int pci_request_regions(struct pci_dev *dev, char *name);
void pci_release_regions(struct pci_dev *dev);
void *pci_get_drvdata(struct pci_dev *dev);
void pci_set_drvdata(struct pci_dev *dev, void *data);

struct pci_device_id {
  unsigned int vendor, device;
  unsigned int subvendor, subdevice;
  /* As in struct pci_dev, C++ reserves the name. */
#ifdef __cplusplus
  unsigned int class_, class_mask;
#else
  unsigned int class, class_mask;
#endif
  unsigned long driver_data;
};
#define PCI_DEVICE(vendor_id, device_id) \
  (vendor_id), (device_id), PCI_ANY_ID, PCI_ANY_ID, 0, 0, 0

struct pci_driver {
  struct list_head node;
  const char *name;
  const struct pci_device_id *id_table;
  int (*probe)(struct pci_dev *dev, const struct pci_device_id *id);
  void (*remove)(struct pci_dev *dev);
  int (*save_state)(struct pci_dev *dev, u32 state);
  int (*suspend)(struct pci_dev *dev, u32 state);
  int (*resume)(struct pci_dev *dev);
  int (*enable_wake)(struct pci_dev *dev, u32 state, int enable);
};

/* Calls `probe` for each device that has no driver and is in the table; returns for how many it
 * returned 0. */
int pci_register_driver(struct pci_driver *driver);
/* Calls `remove` for its devices. What it left mapped then is a finding. */
void pci_unregister_driver(struct pci_driver *driver);
/* The same as registering; -ENODEV, and not registered, when there is no device. */
int pci_module_init(struct pci_driver *driver);
const struct pci_device_id *pci_match_device(const struct pci_device_id *ids,
                                             const struct pci_dev *dev);
#define pci_dev_driver(dev) ((dev)->driver)

/* --- Modules ----------------------------------------------------------------------------- */

struct swiftdma_module {
  int (*init)(void);
  void (*exit)(void);
  struct swiftdma_module *next;
};
void swiftdma_module_add(struct swiftdma_module *module);

/* What swiftdma_modules_init and swiftdma_modules_exit call. */
#define module_init(function)                                                                \
  static struct swiftdma_module swiftdma_init_of_##function = {(function), NULL, NULL};      \
  __attribute__((constructor)) static void swiftdma_add_init_of_##function(void) {           \
    swiftdma_module_add(&swiftdma_init_of_##function);                                       \
  }                                                                                          \
  struct swiftdma_module
#define module_exit(function)                                                                \
  static struct swiftdma_module swiftdma_exit_of_##function = {NULL, (function), NULL};      \
  __attribute__((constructor)) static void swiftdma_add_exit_of_##function(void) {           \
    swiftdma_module_add(&swiftdma_exit_of_##function);                                       \
  }                                                                                          \
  struct swiftdma_module
/* What the kernel keeps of a module beside its code has no use here. Each takes a semicolon. */
#define MODULE_LICENSE(text) struct swiftdma_module
#define MODULE_AUTHOR(text) struct swiftdma_module
#define MODULE_DESCRIPTION(text) struct swiftdma_module
#define MODULE_PARM(name, type) struct swiftdma_module
#define MODULE_PARM_DESC(name, text) struct swiftdma_module
#define MODULE_DEVICE_TABLE(kind, name) struct swiftdma_module
#define MODULE_SUPPORTED_DEVICE(text) struct swiftdma_module
#define EXPORT_SYMBOL(name) struct swiftdma_module
#define EXPORT_NO_SYMBOLS struct swiftdma_module
#define MOD_INC_USE_COUNT ((void)0)
#define MOD_DEC_USE_COUNT ((void)0)
#define THIS_MODULE NULL
#define SET_MODULE_OWNER(object) ((void)(object))
#define MOD_IN_USE 0
#define KERNEL_VERSION(major, minor, patch) (((major) << 16) + ((minor) << 8) + (patch))
#define LINUX_VERSION_CODE KERNEL_VERSION(2, 4, 4)

#ifdef __cplusplus
}
#endif

#endif
