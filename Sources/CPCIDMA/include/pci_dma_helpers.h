/* SPDX-License-Identifier: Apache-2.0
 *
 * What drivers of Linux 2.4's era use that is code of the caller's own: lists, queues of network
 * buffers, bits, byte orders, copies to and from a user. The headers with the kernel's names include
 * it; pci_dma_kernel.h does not, so that its users may have such names for themselves. Written from
 * what those calls do; no kernel source was used.
 */

#ifndef PCI_DMA_HELPERS_H
#define PCI_DMA_HELPERS_H

#include "pci_dma_kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- Lists: rings that a head is part of -------------------------------------------------- */

#define LIST_HEAD_INIT(name) {&(name), &(name)}
#define LIST_HEAD(name) struct list_head name = LIST_HEAD_INIT(name)
#define INIT_LIST_HEAD(head) ((void)((head)->next = (head), (head)->prev = (head)))

static inline void swiftdma_list_insert(struct list_head *entry, struct list_head *before,
                                        struct list_head *after) {
  entry->prev = before;
  entry->next = after;
  before->next = entry;
  after->prev = entry;
}
/* At the front, and at the back. */
static inline void list_add(struct list_head *entry, struct list_head *head) {
  swiftdma_list_insert(entry, head, head->next);
}
static inline void list_add_tail(struct list_head *entry, struct list_head *head) {
  swiftdma_list_insert(entry, head->prev, head);
}
static inline void list_del(struct list_head *entry) {
  entry->prev->next = entry->next;
  entry->next->prev = entry->prev;
}
static inline void list_del_init(struct list_head *entry) {
  list_del(entry);
  INIT_LIST_HEAD(entry);
}
static inline int list_empty(const struct list_head *head) { return head->next == head; }
/* All of a list, to the front of another; the first head is then not one. */
static inline void list_splice(struct list_head *list, struct list_head *head) {
  if (list_empty(list)) return;
  list->next->prev = head;
  list->prev->next = head->next;
  head->next->prev = list->prev;
  head->next = list->next;
}
#define list_entry(pointer, type, member) container_of(pointer, type, member)
#define list_for_each(position, head) \
  for ((position) = (head)->next; (position) != (head); (position) = (position)->next)
#define list_for_each_safe(position, following, head)                                       \
  for ((position) = (head)->next, (following) = (position)->next; (position) != (head); \
       (position) = (following), (following) = (position)->next)

/* --- Queues of network buffers ------------------------------------------------------------ */

struct sk_buff_head {
  struct sk_buff *next;
  struct sk_buff *prev;
  unsigned int qlen;
  spinlock_t lock;
};

static inline void skb_queue_head_init(struct sk_buff_head *queue) {
  queue->next = queue->prev = NULL;
  queue->qlen = 0;
  spin_lock_init(&queue->lock);
}
static inline unsigned int skb_queue_len(const struct sk_buff_head *queue) { return queue->qlen; }
static inline int skb_queue_empty(const struct sk_buff_head *queue) { return queue->qlen == 0; }
static inline struct sk_buff *skb_peek(struct sk_buff_head *queue) { return queue->next; }
/* With `__` the caller holds the queue's lock, or needs none. */
static inline void __skb_queue_tail(struct sk_buff_head *queue, struct sk_buff *skb) {
  skb->next = NULL;
  skb->prev = queue->prev;
  if (queue->prev != NULL) {
    queue->prev->next = skb;
  } else {
    queue->next = skb;
  }
  queue->prev = skb;
  queue->qlen++;
}
static inline void __skb_queue_head(struct sk_buff_head *queue, struct sk_buff *skb) {
  skb->prev = NULL;
  skb->next = queue->next;
  if (queue->next != NULL) {
    queue->next->prev = skb;
  } else {
    queue->prev = skb;
  }
  queue->next = skb;
  queue->qlen++;
}
static inline struct sk_buff *__skb_dequeue(struct sk_buff_head *queue) {
  struct sk_buff *skb = queue->next;
  if (skb == NULL) return NULL;
  queue->next = skb->next;
  if (queue->next != NULL) {
    queue->next->prev = NULL;
  } else {
    queue->prev = NULL;
  }
  queue->qlen--;
  skb->next = skb->prev = NULL;
  return skb;
}
static inline void skb_queue_tail(struct sk_buff_head *queue, struct sk_buff *skb) {
  unsigned long flags;
  spin_lock_irqsave(&queue->lock, flags);
  __skb_queue_tail(queue, skb);
  spin_unlock_irqrestore(&queue->lock, flags);
}
static inline void skb_queue_head(struct sk_buff_head *queue, struct sk_buff *skb) {
  unsigned long flags;
  spin_lock_irqsave(&queue->lock, flags);
  __skb_queue_head(queue, skb);
  spin_unlock_irqrestore(&queue->lock, flags);
}
static inline struct sk_buff *skb_dequeue(struct sk_buff_head *queue) {
  struct sk_buff *skb;
  unsigned long flags;
  spin_lock_irqsave(&queue->lock, flags);
  skb = __skb_dequeue(queue);
  spin_unlock_irqrestore(&queue->lock, flags);
  return skb;
}
static inline void skb_queue_purge(struct sk_buff_head *queue) {
  struct sk_buff *skb;
  while ((skb = skb_dequeue(queue)) != NULL) kfree_skb(skb);
}

/* --- Bits and numbers --------------------------------------------------------------------- */

/* Without a lock's help: for words that nobody else changes. */
#define __set_bit(number, word) set_bit(number, word)
#define __clear_bit(number, word) clear_bit(number, word)
static inline void change_bit(int number, volatile void *word) {
  if (!test_and_set_bit(number, word)) return;
  clear_bit(number, word);
}
/* The first bit of so many that is zero; `size` when there is none. */
static inline int find_first_zero_bit(const void *words, unsigned int size) {
  unsigned int number = 0;
  while (number < size && test_bit((int)number, words)) number++;
  return (int)number;
}
#define min_t(type, a, b) ((type)(a) < (type)(b) ? (type)(a) : (type)(b))
#define max_t(type, a, b) ((type)(a) > (type)(b) ? (type)(a) : (type)(b))

#define cpu_to_le16p(pointer) (*(const u16 *)(pointer))
#define cpu_to_le32p(pointer) (*(const u32 *)(pointer))
#define le64_to_cpup(pointer) (*(const u64 *)(pointer))
#define cpu_to_le16s(pointer) ((void)(pointer))
#define le16_to_cpus(pointer) ((void)(pointer))
static inline u64 swab64(u64 value) {
  return (u64)swab32((u32)value) << 32 | swab32((u32)(value >> 32));
}
#define cpu_to_be64(value) swab64(value)
#define be64_to_cpu(value) swab64(value)
#define be16_to_cpup(pointer) swab16(*(const u16 *)(pointer))
#define be32_to_cpup(pointer) swab32(*(const u32 *)(pointer))

/* --- The user, who is in the same address space ------------------------------------------- */

/* Bytes that were not copied: none, but for a null pointer. */
static inline unsigned long copy_to_user(void *to, const void *from, unsigned long size) {
  if (to == NULL) return size;
  memcpy(to, from, size);
  return 0;
}
static inline unsigned long copy_from_user(void *to, const void *from, unsigned long size) {
  if (from == NULL) return size;
  memcpy(to, from, size);
  return 0;
}
#define __copy_to_user(to, from, size) copy_to_user(to, from, size)
#define __copy_from_user(to, from, size) copy_from_user(to, from, size)
#define put_user(value, pointer) ((pointer) == NULL ? -EFAULT : (*(pointer) = (value), 0))
#define get_user(value, pointer) ((pointer) == NULL ? -EFAULT : ((value) = *(pointer), 0))

/* What kept pages that a user has mapped; nobody swaps here. */
#define mem_map_reserve(page) ((void)(page))
#define mem_map_unreserve(page) ((void)(page))
/* All memory has an address: no page needs another for a while. */
#define kmap(page) page_address(page)
#define kunmap(page) ((void)(page))

/* --- Configuration space ------------------------------------------------------------------ */

/* The first 64 bytes, which a device forgets without power. */
static inline int pci_save_state(struct pci_dev *dev, u32 *buffer) {
  int index, error = 0;
  for (index = 0; index < 16 && error == 0; index++) {
    error = pci_read_config_dword(dev, index * 4, &buffer[index]);
  }
  return error;
}
static inline int pci_restore_state(struct pci_dev *dev, u32 *buffer) {
  int index, error = 0;
  for (index = 15; index >= 0 && error == 0; index--) {
    error = pci_write_config_dword(dev, index * 4, buffer[index]);
  }
  return error;
}
/* A device of a vendor, and of a maker of cards with its chip. */
static inline struct pci_dev *pci_find_subsys(unsigned int vendor, unsigned int device,
                                              unsigned int subvendor, unsigned int subdevice,
                                              const struct pci_dev *from) {
  struct pci_dev *dev = pci_find_device(vendor, device, from);
  while (dev != NULL && ((subvendor != PCI_ANY_ID && dev->subsystem_vendor != subvendor) ||
                         (subdevice != PCI_ANY_ID && dev->subsystem_device != subdevice))) {
    dev = pci_find_device(vendor, device, dev);
  }
  return dev;
}

#ifdef __cplusplus
}
#endif

#endif
