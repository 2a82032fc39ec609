/* SPDX-License-Identifier: Apache-2.0
 *
 * What the C and the Swift half of the library share. Not installed.
 *
 * Devices, pools and machines are slots of fixed arrays, so that looking one up by its address is
 * arithmetic: nothing is read through a pointer that is none of ours, or whose slot is not live.
 * Slots are used again as late as possible.
 */

#ifndef SWIFTDMA_INTERNAL_H
#define SWIFTDMA_INTERNAL_H

#include "pci_dma.h"
#include "swiftdma.h"

#define SWIFTDMA_INLINE static inline __attribute__((always_inline))

enum { SWIFTDMA_SLOT_FREE = 0, SWIFTDMA_SLOT_LIVE = 1 };

#define SWIFTDMA_POOL_COUNT 65536
#define SWIFTDMA_DEVICE_COUNT 1024
#define SWIFTDMA_MACHINE_COUNT 64
#define SWIFTDMA_MODEL_COUNT 1024

struct pci_pool {
  uint32_t state;
  /* Where the calls that every driver makes all the time look: magazines are not null while they may
   * look at all. */
  void *core;
  void *magazines;
  void *device;
  /* The Swift object. */
  void *object;
  uint64_t unused[3];
};

struct swiftdma_device_slot {
  struct pci_dev dev;
  uint32_t state;
  void *object;
  /* dma_mask as the library last knew it. */
  uint64_t known_mask;
  struct pci_bus bus;
};

struct swiftdma_machine {
  uint32_t state;
  void *object;
};

struct swiftdma_model {
  uint32_t state;
  void *object;
};

/* Hidden: reached without a detour in the shared library. */
#define SWIFTDMA_HIDDEN __attribute__((visibility("hidden")))

extern SWIFTDMA_HIDDEN struct pci_pool swiftdma_pool_slots[SWIFTDMA_POOL_COUNT];
extern SWIFTDMA_HIDDEN struct swiftdma_device_slot swiftdma_device_slots[SWIFTDMA_DEVICE_COUNT];
extern SWIFTDMA_HIDDEN struct swiftdma_machine swiftdma_machine_slots[SWIFTDMA_MACHINE_COUNT];
extern SWIFTDMA_HIDDEN struct swiftdma_model swiftdma_model_slots[SWIFTDMA_MODEL_COUNT];

SWIFTDMA_INLINE struct pci_pool *swiftdma_pool_slot(size_t index) {
  return &swiftdma_pool_slots[index];
}
SWIFTDMA_INLINE struct swiftdma_device_slot *swiftdma_device_slot_at(size_t index) {
  return &swiftdma_device_slots[index];
}
SWIFTDMA_INLINE struct swiftdma_machine *swiftdma_machine_slot(size_t index) {
  return &swiftdma_machine_slots[index];
}
SWIFTDMA_INLINE struct swiftdma_model *swiftdma_model_slot(size_t index) {
  return &swiftdma_model_slots[index];
}

#define SWIFTDMA_LOOK_UP(name, type, slots)                                                 \
  SWIFTDMA_INLINE type *name(const void *pointer) {                                         \
    uintptr_t offset = (uintptr_t)pointer - (uintptr_t)slots;                               \
    if (offset >= sizeof(slots) || offset % sizeof(type) != 0) return NULL;                 \
    type *slot = (type *)((uintptr_t)slots + offset);                                       \
    /* Acquire: pairs with swiftdma_set_live. */                                            \
    return __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) == SWIFTDMA_SLOT_LIVE ? slot : NULL; \
  }
SWIFTDMA_LOOK_UP(swiftdma_find_pool, struct pci_pool, swiftdma_pool_slots)
SWIFTDMA_LOOK_UP(swiftdma_find_device_slot, struct swiftdma_device_slot, swiftdma_device_slots)
SWIFTDMA_LOOK_UP(swiftdma_find_machine, struct swiftdma_machine, swiftdma_machine_slots)
SWIFTDMA_LOOK_UP(swiftdma_find_model, struct swiftdma_model, swiftdma_model_slots)

/* A pool that the fast paths may use; NULL for any other, and for what is none. */
SWIFTDMA_INLINE struct pci_pool *swiftdma_quick_pool(const void *pointer) {
  uintptr_t offset = (uintptr_t)pointer - (uintptr_t)swiftdma_pool_slots;
  if (__builtin_expect((offset & ~(uintptr_t)(SWIFTDMA_POOL_COUNT * sizeof(struct pci_pool) - 64)) != 0, 0)) {
    return NULL;
  }
  struct pci_pool *pool = (struct pci_pool *)((uintptr_t)swiftdma_pool_slots + offset);
  return __atomic_load_n(&pool->magazines, __ATOMIC_ACQUIRE) != NULL ? pool : NULL;
}
SWIFTDMA_INLINE void swiftdma_set_magazines(struct pci_pool *pool, void *magazines) {
  __atomic_store_n(&pool->magazines, magazines, __ATOMIC_RELEASE);
}
_Static_assert(sizeof(struct pci_pool) == 64 && (SWIFTDMA_POOL_COUNT & (SWIFTDMA_POOL_COUNT - 1)) == 0,
               "a slot's offset has no other bits");

/* Looks a struct pci_dev up, or the struct device inside of one. */
SWIFTDMA_INLINE struct swiftdma_device_slot *swiftdma_find_device(const void *pointer,
                                                                 int is_device) {
  uintptr_t address = (uintptr_t)pointer;
  if (is_device) address -= offsetof(struct pci_dev, dev);
  return swiftdma_find_device_slot((const void *)address);
}

SWIFTDMA_INLINE uint32_t swiftdma_state(const uint32_t *state) {
  return __atomic_load_n(state, __ATOMIC_ACQUIRE);
}
SWIFTDMA_INLINE void swiftdma_set_state(uint32_t *state, uint32_t value) {
  __atomic_store_n(state, value, __ATOMIC_RELEASE);
}

/* A volatile store, for what the driver may write at any time. */
SWIFTDMA_INLINE uint64_t swiftdma_driver_mask(const struct swiftdma_device_slot *slot) {
  return *(const volatile dma_addr_t *)&slot->dev.dma_mask;
}
SWIFTDMA_INLINE void swiftdma_set_class(struct pci_dev *dev, unsigned int value) {
  dev->class = value;
}

/* The names of a device, after its place. */
void swiftdma_name_device(struct swiftdma_device_slot *slot, int bus, int device, int function);
void swiftdma_set_resource(struct swiftdma_device_slot *slot, int bar, uint64_t start,
                           uint64_t size, uint32_t low_bits);

/* Locks held and interrupts, in one word: not zero where a call must not wait. */
int swiftdma_is_atomic(void);
/* 1 when interrupts may be delivered to this thread now. */
int swiftdma_may_interrupt(void);
/* Timers and tasklets that are due, in interrupt context. */
void swiftdma_run_timers(unsigned long ticks);
void swiftdma_run_tasklets(void);
void swiftdma_forget_timers(void);
/* A message by printk's way. */
void swiftdma_emit(int level, const char *text);
void swiftdma_set_error(int error);
void swiftdma_call_interrupt(void (*handler)(int, void *, void *), int irq, void *device);

/* Implemented in Swift. */
/* All that swiftdma_at_pool_alloc does not do itself: with its type, so that it ends with a jump. */
void *swiftdma_pool_alloc_slowly(struct pci_pool *pool, int flags, dma_addr_t *handle,
                                 const char *file, uint64_t place);
int swiftdma_request_irq(unsigned int irq, void (*handler)(int, void *, void *), unsigned long flags,
                         void *device);
void swiftdma_free_irq(unsigned int irq, void *device);
void swiftdma_set_irq_enabled(unsigned int irq, int is_enabled);
/* One moment of the current machine; delivers interrupts where they may be. */
void swiftdma_relax(void);
uint64_t swiftdma_current_time(void);
uint64_t swiftdma_register_read(uintptr_t address, unsigned int size);
void swiftdma_register_write(uintptr_t address, unsigned int size, uint64_t value);
void *swiftdma_map_registers(uint64_t start, uint64_t size);
/* 1 when the cookie was one. */
int swiftdma_unmap_registers(const void *cookie);
void *swiftdma_memory_allocate(size_t size, int flags);
void swiftdma_memory_free(const void *memory, const char *function);
uintptr_t swiftdma_pages_allocate(int flags, unsigned long order, int is_zeroed);
void swiftdma_pages_free(uintptr_t address, unsigned long order);
void *swiftdma_virtual_allocate(unsigned long size);
void swiftdma_virtual_free(const void *memory);
uintptr_t swiftdma_virtual_page(uintptr_t address);
int swiftdma_virtual_walk(uintptr_t address, size_t size, uintptr_t *addresses, size_t *sizes,
                          int count);
struct pci_dev *swiftdma_next_device(const struct pci_dev *from);
int swiftdma_configuration_read(const void *dev, int where, int size, uint32_t *value);
int swiftdma_configuration_write(const void *dev, int where, int size, uint32_t value);
int swiftdma_find_capability(const void *dev, int capability);
int swiftdma_set_command(const void *dev, unsigned int bits, int is_on);
/* The driver left its device: reports what it left behind. */
void swiftdma_driver_left(const void *dev);
void swiftdma_misuse(const char *rule, const char *text);
int swiftdma_is_live_device(const void *dev);

#endif
