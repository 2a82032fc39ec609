// SPDX-License-Identifier: Apache-2.0
//
// The kernel's memory calls. The memory itself, and the checks of what is given back, are the
// machine's.

#include "dma_support.h"
#include "swiftdma_internal.h"
#include "pci_dma_kernel.h"

void *kmalloc(size_t size, int flags) { return swiftdma_memory_allocate(size, flags); }

void *kzalloc(size_t size, int flags) {
  void *memory = kmalloc(size, flags);
  if (memory != NULL) memset(memory, 0, size);
  return memory;
}

void kfree(const void *memory) {
  if (memory != NULL) swiftdma_memory_free(memory, "kfree");
}

unsigned long __get_free_pages(int flags, unsigned long order) {
  return swiftdma_pages_allocate(flags, order, 0);
}
unsigned long get_zeroed_page(int flags) { return swiftdma_pages_allocate(flags, 0, 1); }
void free_pages(unsigned long address, unsigned long order) {
  if (address != 0) swiftdma_pages_free(address, order);
}

int get_order(unsigned long size) {
  int order = 0;
  if (size == 0) return 0;
  for (unsigned long pages = (size - 1) >> PAGE_SHIFT; pages != 0; pages >>= 1) order++;
  return order;
}

void *vmalloc(unsigned long size) { return swiftdma_virtual_allocate(size); }
void vfree(void *memory) {
  if (memory != NULL) swiftdma_virtual_free(memory);
}

void *swiftdma_block_buffer(unsigned int sector_count) {
  return kmalloc((size_t)sector_count * 512, GFP_KERNEL);
}
void swiftdma_block_buffer_free(void *buffer) { kfree(buffer); }

// MARK: Caches of objects

struct kmem_cache {
  size_t size;
  // Where in a larger object the aligned one begins is noted in front of it.
  size_t alignment;
  int flags;
  unsigned int live;
  void (*constructor)(void *, kmem_cache_t *, unsigned long);
  void (*destructor)(void *, kmem_cache_t *, unsigned long);
  char name[20];
};

kmem_cache_t *kmem_cache_create(const char *name, size_t size, size_t offset, unsigned long flags,
                                void (*constructor)(void *, kmem_cache_t *, unsigned long),
                                void (*destructor)(void *, kmem_cache_t *, unsigned long)) {
  (void)offset;
  if (name == NULL || size == 0 || size > 128 * 1024 || in_interrupt()) {
    swiftdma_misuse("invalid-argument", "kmem_cache_create");
    return NULL;
  }
  kmem_cache_t *cache = kmalloc(sizeof(*cache), GFP_KERNEL);
  if (cache == NULL) return NULL;
  memset(cache, 0, sizeof(*cache));
  // Objects of a size class are aligned to it, so rounding up is all that lines take.
  cache->size = (flags & SLAB_HWCACHE_ALIGN) != 0 ? (size + 63) & ~(size_t)63 : size;
  cache->flags = (flags & SLAB_CACHE_DMA) != 0 ? GFP_DMA : 0;
  cache->constructor = constructor;
  cache->destructor = destructor;
  strncpy(cache->name, name, sizeof(cache->name) - 1);
  return cache;
}

void *kmem_cache_alloc(kmem_cache_t *cache, int flags) {
  if (cache == NULL) return NULL;
  void *object = kmalloc(cache->size, flags | cache->flags);
  if (object == NULL) return NULL;
  __atomic_fetch_add(&cache->live, 1, __ATOMIC_RELAXED);
  // 1: as the kernel's SLAB_CTOR_CONSTRUCTOR.
  if (cache->constructor != NULL) cache->constructor(object, cache, 1);
  return object;
}

void kmem_cache_free(kmem_cache_t *cache, void *object) {
  if (cache == NULL || object == NULL) return;
  if (cache->destructor != NULL) cache->destructor(object, cache, 0);
  __atomic_fetch_sub(&cache->live, 1, __ATOMIC_RELAXED);
  swiftdma_memory_free(object, "kmem_cache_free");
}

int kmem_cache_shrink(kmem_cache_t *cache) {
  (void)cache;
  return 0;
}

int kmem_cache_destroy(kmem_cache_t *cache) {
  if (cache == NULL) return 1;
  if (cache->live != 0) {
    printk(KERN_ERR "kmem_cache_destroy: Can't free all objects of %s\n", cache->name);
    return 1;
  }
  kfree(cache);
  return 0;
}

// MARK: Network buffers

struct sk_buff *alloc_skb(unsigned int size, int flags) {
  if (size > 0x100000) return NULL;
  struct sk_buff *skb = kmalloc(sizeof(*skb), flags & ~GFP_DMA);
  if (skb == NULL) return NULL;
  // Whole cache lines: nothing else shares one with the data.
  unsigned int rounded = (size + 63) & ~63u;
  if (rounded == 0) rounded = 64;
  unsigned char *data = kmalloc(rounded, flags);
  if (data == NULL) {
    kfree(skb);
    return NULL;
  }
  memset(skb, 0, sizeof(*skb));
  skb->head = skb->data = skb->tail = data;
  skb->end = data + size;
  skb->truesize = size + (unsigned int)sizeof(*skb);
  return skb;
}

struct sk_buff *dev_alloc_skb(unsigned int size) {
  if (size > 0x100000) return NULL;
  struct sk_buff *skb = alloc_skb(size + 16, GFP_ATOMIC);
  if (skb != NULL) skb_reserve(skb, 16);
  return skb;
}

void kfree_skb(struct sk_buff *skb) {
  if (skb == NULL) return;
  swiftdma_memory_free(skb->head, "kfree_skb");
  swiftdma_memory_free(skb, "kfree_skb");
}

unsigned char *skb_put(struct sk_buff *skb, unsigned int size) {
  unsigned char *start = skb->tail;
  if ((size_t)(skb->end - skb->tail) < size) panic("skb_put: %u bytes, there is less room\n", size);
  skb->tail += size;
  skb->len += size;
  return start;
}

unsigned char *skb_push(struct sk_buff *skb, unsigned int size) {
  if ((size_t)(skb->data - skb->head) < size) panic("skb_push: %u bytes, there is less room\n", size);
  skb->data -= size;
  skb->len += size;
  return skb->data;
}

unsigned char *skb_pull(struct sk_buff *skb, unsigned int size) {
  if (size > skb->len) return NULL;
  skb->len -= size;
  skb->data += size;
  return skb->data;
}

void skb_reserve(struct sk_buff *skb, unsigned int size) {
  if ((size_t)(skb->end - skb->tail) < size) panic("skb_reserve: %u bytes, there is less room\n", size);
  skb->data += size;
  skb->tail += size;
}

void skb_trim(struct sk_buff *skb, unsigned int size) {
  if (size >= skb->len) return;
  skb->len = size;
  skb->tail = skb->data + size;
}

int skb_tailroom(const struct sk_buff *skb) { return (int)(skb->end - skb->tail); }
int skb_headroom(const struct sk_buff *skb) { return (int)(skb->data - skb->head); }
