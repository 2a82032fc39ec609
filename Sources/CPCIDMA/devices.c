// SPDX-License-Identifier: Apache-2.0
//
// PCI devices as drivers meet them: finding, configuration space, registers, the driver model.

#include "dma_support.h"
#include "swiftdma_internal.h"
#include "pci_dma_kernel.h"

struct pci_dev *pci_find_device(unsigned int vendor, unsigned int device,
                                const struct pci_dev *from) {
  struct pci_dev *dev = swiftdma_next_device(from);
  for (; dev != NULL; dev = swiftdma_next_device(dev)) {
    if ((vendor == PCI_ANY_ID || dev->vendor == vendor) &&
        (device == PCI_ANY_ID || dev->device == device)) {
      return dev;
    }
  }
  return NULL;
}

struct pci_dev *pci_find_class(unsigned int class_code, const struct pci_dev *from) {
  struct pci_dev *dev = swiftdma_next_device(from);
  while (dev != NULL && dev->class != class_code) dev = swiftdma_next_device(dev);
  return dev;
}

struct pci_dev *pci_find_slot(unsigned int bus, unsigned int devfn) {
  struct pci_dev *dev = swiftdma_next_device(NULL);
  while (dev != NULL && (dev->bus->number != bus || dev->devfn != devfn)) {
    dev = swiftdma_next_device(dev);
  }
  return dev;
}

#define READ_CONFIGURATION(name, type)                                          \
  int name(struct pci_dev *dev, int where, type *value) {                       \
    uint32_t word = UINT32_MAX;                                                 \
    int error = value == NULL ? -EINVAL                                         \
                              : swiftdma_configuration_read(dev, where, (int)sizeof(type), &word); \
    if (value != NULL) *value = (type)word;                                     \
    return error;                                                               \
  }
READ_CONFIGURATION(pci_read_config_byte, u8)
READ_CONFIGURATION(pci_read_config_word, u16)
READ_CONFIGURATION(pci_read_config_dword, u32)

int pci_write_config_byte(struct pci_dev *dev, int where, u8 value) {
  return swiftdma_configuration_write(dev, where, 1, value);
}
int pci_write_config_word(struct pci_dev *dev, int where, u16 value) {
  return swiftdma_configuration_write(dev, where, 2, value);
}
int pci_write_config_dword(struct pci_dev *dev, int where, u32 value) {
  return swiftdma_configuration_write(dev, where, 4, value);
}

int pci_find_capability(struct pci_dev *dev, int capability) {
  return swiftdma_find_capability(dev, capability);
}

int pci_enable_device(struct pci_dev *dev) {
  return swiftdma_set_command(dev, PCI_COMMAND_MEMORY, 1);
}
void pci_disable_device(struct pci_dev *dev) {
  (void)swiftdma_set_command(dev, PCI_COMMAND_MASTER, 0);
}
void pci_set_master(struct pci_dev *dev) { (void)swiftdma_set_command(dev, PCI_COMMAND_MASTER, 1); }
void pci_clear_master(struct pci_dev *dev) { (void)swiftdma_set_command(dev, PCI_COMMAND_MASTER, 0); }

int pci_request_regions(struct pci_dev *dev, char *name) {
  (void)name;
  return swiftdma_is_live_device(dev) ? 0 : -ENODEV;
}
void pci_release_regions(struct pci_dev *dev) { (void)dev; }

void *pci_get_drvdata(struct pci_dev *dev) {
  return swiftdma_is_live_device(dev) ? dev->driver_data : NULL;
}
void pci_set_drvdata(struct pci_dev *dev, void *data) {
  if (swiftdma_is_live_device(dev)) dev->driver_data = data;
}

// MARK: Registers

void *ioremap(unsigned long bus_address, unsigned long size) {
  return swiftdma_map_registers(bus_address, size);
}

void iounmap(void *cookie) {
  if (cookie != NULL && !swiftdma_unmap_registers(cookie)) {
    swiftdma_misuse("unknown-register-cookie", "iounmap");
  }
}

u8(readb)(const volatile void *address) { return (u8)swiftdma_register_read((uintptr_t)address, 1); }
u16(readw)(const volatile void *address) { return (u16)swiftdma_register_read((uintptr_t)address, 2); }
u32(readl)(const volatile void *address) { return (u32)swiftdma_register_read((uintptr_t)address, 4); }
u64(readq)(const volatile void *address) { return swiftdma_register_read((uintptr_t)address, 8); }
void(writeb)(u8 value, volatile void *address) {
  swiftdma_register_write((uintptr_t)address, 1, value);
}
void(writew)(u16 value, volatile void *address) {
  swiftdma_register_write((uintptr_t)address, 2, value);
}
void(writel)(u32 value, volatile void *address) {
  swiftdma_register_write((uintptr_t)address, 4, value);
}
void(writeq)(u64 value, volatile void *address) {
  swiftdma_register_write((uintptr_t)address, 8, value);
}

// MARK: Interrupts

int request_irq(unsigned int irq, void (*handler)(int irq, void *device, struct pt_regs *registers),
                unsigned long flags, const char *name, void *device) {
  (void)name;
  if (handler == NULL) return -EINVAL;
  // Only the pointer's type differs: what it points to is never looked at.
  return swiftdma_request_irq(irq, (void (*)(int, void *, void *))handler, flags, device);
}
void free_irq(unsigned int irq, void *device) { swiftdma_free_irq(irq, device); }
void enable_irq(unsigned int irq) { swiftdma_set_irq_enabled(irq, 1); }
void disable_irq(unsigned int irq) { swiftdma_set_irq_enabled(irq, 0); }

// MARK: Drivers

static struct pci_driver *drivers;

const struct pci_device_id *pci_match_device(const struct pci_device_id *ids,
                                             const struct pci_dev *dev) {
  if (ids == NULL || !swiftdma_is_live_device(dev)) return NULL;
  for (; ids->vendor != 0 || ids->subvendor != 0 || ids->class_mask != 0; ids++) {
    if ((ids->vendor == PCI_ANY_ID || ids->vendor == dev->vendor) &&
        (ids->device == PCI_ANY_ID || ids->device == dev->device) &&
        (ids->subvendor == PCI_ANY_ID || ids->subvendor == dev->subsystem_vendor) &&
        (ids->subdevice == PCI_ANY_ID || ids->subdevice == dev->subsystem_device) &&
        ((ids->class ^ dev->class) & ids->class_mask) == 0) {
      return ids;
    }
  }
  return NULL;
}

static int is_registered(const struct pci_driver *driver) {
  const struct pci_driver *next = drivers;
  while (next != NULL && next != driver) next = (const struct pci_driver *)(const void *)next->node.next;
  return next != NULL;
}

int pci_register_driver(struct pci_driver *driver) {
  if (driver == NULL || driver->probe == NULL || is_registered(driver)) {
    swiftdma_misuse("invalid-argument", "pci_register_driver");
    return -EINVAL;
  }
  driver->node.next = (struct list_head *)(void *)drivers;
  drivers = driver;
  int count = 0;
  struct pci_dev *dev = swiftdma_next_device(NULL);
  for (; dev != NULL; dev = swiftdma_next_device(dev)) {
    const struct pci_device_id *id =
        driver->id_table == NULL ? NULL : pci_match_device(driver->id_table, dev);
    if (dev->driver != NULL || (driver->id_table != NULL && id == NULL)) continue;
    if (driver->probe(dev, id) >= 0) {
      dev->driver = driver;
      count++;
    } else {
      // Whatever a probe that failed left mapped is lost as well.
      swiftdma_driver_left(dev);
    }
  }
  return count;
}

void pci_unregister_driver(struct pci_driver *driver) {
  if (driver == NULL || !is_registered(driver)) {
    swiftdma_misuse("invalid-argument", "pci_unregister_driver");
    return;
  }
  struct pci_driver **place = &drivers;
  while (*place != driver) place = (struct pci_driver **)(void *)&(*place)->node.next;
  *place = (struct pci_driver *)(void *)driver->node.next;
  struct pci_dev *dev = swiftdma_next_device(NULL);
  for (; dev != NULL; dev = swiftdma_next_device(dev)) {
    if (dev->driver != driver) continue;
    if (driver->remove != NULL) driver->remove(dev);
    dev->driver = NULL;
    swiftdma_driver_left(dev);
  }
}

int pci_module_init(struct pci_driver *driver) {
  int count = pci_register_driver(driver);
  if (count > 0) return 0;
  if (count == 0) pci_unregister_driver(driver);
  return count < 0 ? count : -ENODEV;
}

// MARK: Modules

static struct swiftdma_module *modules;

void swiftdma_module_add(struct swiftdma_module *module) {
  struct swiftdma_module **place = &modules;
  while (*place != NULL) place = &(*place)->next;
  *place = module;
}

static void exit_modules_before(const struct swiftdma_module *end) {
  // Backwards, which a short list can afford to search.
  for (;;) {
    struct swiftdma_module *last = NULL;
    for (struct swiftdma_module *next = modules; next != NULL && next != end; next = next->next) {
      if (next->exit != NULL) last = next;
    }
    if (last == NULL) return;
    last->exit();
    end = last;
  }
}

int swiftdma_modules_init(void) {
  for (struct swiftdma_module *next = modules; next != NULL; next = next->next) {
    if (next->init == NULL) continue;
    int error = next->init();
    if (error < 0) {
      exit_modules_before(next);
      return error;
    }
  }
  return 0;
}

void swiftdma_modules_exit(void) { exit_modules_before(NULL); }
