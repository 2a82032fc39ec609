/* SPDX-License-Identifier: Apache-2.0
 *
 * How a C program gets a machine to run a driver on: simulated or QEMU's, with the mapping it
 * chooses between devices and memory, and with a checker that finds broken rules.
 *
 * Functions return 0 or a negative errno unless they say otherwise. Structures begin with
 * `struct_size`, which the caller sets to sizeof: members that a later version adds are then taken
 * as zero, and members that this version lacks must be zero (-E2BIG).
 */

#ifndef SWIFTDMA_H
#define SWIFTDMA_H

#include "pci_dma.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SWIFTDMA_VERSION_MAJOR 0
#define SWIFTDMA_VERSION_MINOR 1
#define SWIFTDMA_VERSION_PATCH 0
#define SWIFTDMA_VERSION \
  (SWIFTDMA_VERSION_MAJOR * 1000000 + SWIFTDMA_VERSION_MINOR * 1000 + SWIFTDMA_VERSION_PATCH)

/* SWIFTDMA_VERSION of the library that is linked. */
unsigned int swiftdma_version(void);

/* Why the calling thread's last refused or failed call was: a negative errno. It stays until the
 * next one. */
int swiftdma_last_error(void);

/* --- Machines ---------------------------------------------------------------------------- */

struct swiftdma_machine;

enum swiftdma_machine_kind {
  /* A machine inside of this process: memory, bus, devices, time. Needs nothing. */
  SWIFTDMA_SIMULATED = 0,
  /* QEMU's device models, without a guest. Needs qemu-system-x86_64 on the PATH. */
  SWIFTDMA_QEMU = 1
};

/* What stands between devices and memory. */
enum swiftdma_mapping {
  /* Nothing: a bus address is a physical address. */
  SWIFTDMA_DIRECT = 0,
  /* Memory that a device does not reach is copied. */
  SWIFTDMA_BOUNCE = 1,
  /* Everything is copied, as for a device that is not trusted. */
  SWIFTDMA_BOUNCE_ALL = 2,
  /* An IOMMU that forgets a mapping when it is unmapped. */
  SWIFTDMA_IOMMU_STRICT = 3,
  /* An IOMMU that forgets many at once, later. */
  SWIFTDMA_IOMMU_DEFERRED = 4
};

/* The CPU's caches and devices do not see the same memory: a forgotten sync shows. */
#define SWIFTDMA_INCOHERENT 1u
/* There is no memory below 16 MiB. */
#define SWIFTDMA_NO_24BIT_ZONE 2u
/* There is no memory from 16 MiB to 3 GiB. */
#define SWIFTDMA_NO_32BIT_ZONE 4u
/* Findings also for callers of pci_map_single that do not test its result. */
#define SWIFTDMA_EXPECT_ERROR_TESTS 8u

struct swiftdma_machine_options {
  size_t struct_size;
  enum swiftdma_machine_kind kind;
  enum swiftdma_mapping mapping;
  unsigned int flags;
  /* RAM in bytes, whole MiB; 0 for the machine's own choice. */
  uint64_t memory_size;
  /* Decides how long devices take; the same seed gives the same run. 0 for 1. */
  uint64_t seed;
  /* Slots of 2 KiB in the bounce pool; 0 for 2048, which lie below 16 MiB where there is memory. */
  unsigned int bounce_slots;
  /* QEMU: as many of QEMU's -device texts, such as "edu" or "e1000". */
  unsigned int qemu_device_count;
  const char *const *qemu_devices;
  /* QEMU: a raw image, for an NVMe controller behind the devices above; or NULL. */
  const char *qemu_nvme_image;
};

/* Makes a machine and makes it the current one. `options` may be NULL: simulated, direct.
 *
 * -EINVAL, -E2BIG for options; -ENOMEM; -ENOENT when QEMU is not installed; -EIO when it does not
 * start; -ENFILE for more than 64 machines. */
int swiftdma_machine_create(const struct swiftdma_machine_options *options,
                            struct swiftdma_machine **machine);
/* Ends a machine with its devices and pools. Its consistent and kmalloc memory goes with it.
 * -EBUSY from its own interrupt handlers. */
int swiftdma_machine_destroy(struct swiftdma_machine *machine);
/* The machine whose memory kmalloc and the null device use: one a process; the newest by itself. */
int swiftdma_machine_select(struct swiftdma_machine *machine);
struct swiftdma_machine *swiftdma_machine_current(void);

/* Lets the machine run for so many nanoseconds of its own time: devices work, interrupts are
 * delivered on this thread. Not in interrupts or with a spin lock held (-EWOULDBLOCK). */
int swiftdma_run(struct swiftdma_machine *machine, uint64_t nanoseconds);
/* Nanoseconds since the machine started. */
uint64_t swiftdma_now(struct swiftdma_machine *machine);
/* Bytes of RAM that are free. */
uint64_t swiftdma_free_memory(struct swiftdma_machine *machine);
/* Why a QEMU machine stopped working, in words; "" while it works. At most `size` bytes with the
 * ending zero; returns the length of the whole text. */
size_t swiftdma_machine_failure(struct swiftdma_machine *machine, char *text, size_t size);

/* What an address belongs to. */
enum swiftdma_memory_kind {
  SWIFTDMA_MEMORY_UNKNOWN = 0,
  SWIFTDMA_MEMORY_PAGES = 1,
  SWIFTDMA_MEMORY_SLAB = 2,
  SWIFTDMA_MEMORY_VMALLOC = 3,
  SWIFTDMA_MEMORY_IMAGE = 4,
  SWIFTDMA_MEMORY_STACK = 5,
  SWIFTDMA_MEMORY_USER = 6,
  SWIFTDMA_MEMORY_MMIO = 7
};
enum swiftdma_memory_kind swiftdma_classify(struct swiftdma_machine *machine, const void *address,
                                            size_t size);

/* --- Devices of a simulated machine ------------------------------------------------------- */

enum swiftdma_device_kind {
  /* QEMU's teaching device: 1234:11e8, 28 bits. */
  SWIFTDMA_EDU = 0,
  /* A network card with two descriptor rings: 1234:11e9. */
  SWIFTDMA_NETWORK_CARD = 1,
  /* An NVMe controller with one namespace. */
  SWIFTDMA_NVME = 2
};

struct swiftdma_device_options {
  size_t struct_size;
  enum swiftdma_device_kind kind;
  /* What the network card does with what it sends: not zero to receive it again. */
  unsigned int loopback;
  /* The highest address its engine drives, 0 for its own choice; it drops the bits above. */
  uint64_t mask;
  /* How long it takes, in nanoseconds; 0 for its own choice. */
  uint64_t latency;
  /* NVMe: a raw image to read and write, or NULL for `storage_size` bytes of zeroes. */
  const char *image;
  uint64_t storage_size;
};

/* Plugs a device in. -ENOSPC when the bus is full, -EOPNOTSUPP on QEMU. */
int swiftdma_device_add(struct swiftdma_machine *machine,
                        const struct swiftdma_device_options *options, struct pci_dev **dev);
/* Ends a device: what its driver left mapped is a finding, later calls are refused. */
int swiftdma_device_remove(struct pci_dev *dev);
/* Pulls it out, whatever it is doing: its registers read all ones; calls of its driver go on. */
int swiftdma_device_unplug(struct pci_dev *dev);
/* Says that the device no longer touches memory (it was reset). */
int swiftdma_device_quiet(struct pci_dev *dev);
/* Streaming mappings, and pieces of consistent memory, that are live; negative errno. */
int swiftdma_device_live_mappings(struct pci_dev *dev);
int swiftdma_device_live_consistent(struct pci_dev *dev);
/* What the most segments of its engine are, for scatter lists; 0 for no limit. */
int swiftdma_device_set_max_segments(struct pci_dev *dev, unsigned int count);

/* The other end of a network card's cable: a frame for the card (with a wrong checksum if
 * `is_bad`), and the next frame it sent: its length, 0 when there is none. */
int swiftdma_network_deliver(struct pci_dev *dev, const void *frame, size_t size, int is_bad);
int swiftdma_network_take(struct pci_dev *dev, void *frame, size_t size);

/* --- A device model in C ------------------------------------------------------------------ */

/*
 * What a device does. Calls come one at a time for a device; they must not wait, and must reach
 * memory only through swiftdma_model_read and swiftdma_model_write, as a bus master. Any of them may
 * be NULL.
 */
struct swiftdma_model;

struct swiftdma_model_options {
  size_t struct_size;
  unsigned short vendor;
  unsigned short device;
  unsigned int class_code;
  /* Bytes of BAR 0: a power of two from 16 to 1 MiB. */
  unsigned int bar_size;
  /* Passed to each function. */
  void *context;
  void (*reset)(void *context, struct swiftdma_model *model);
  uint64_t (*read)(void *context, struct swiftdma_model *model, unsigned int offset,
                   unsigned int size);
  void (*write)(void *context, struct swiftdma_model *model, unsigned int offset, unsigned int size,
                uint64_t value);
  /* What swiftdma_model_schedule asked for. */
  void (*step)(void *context, struct swiftdma_model *model, uint64_t tag);
};

int swiftdma_model_add(struct swiftdma_machine *machine,
                       const struct swiftdma_model_options *options, struct pci_dev **dev);
/* The model behind a device, for a test that has it act; NULL when it is none. */
struct swiftdma_model *swiftdma_model_of(struct pci_dev *dev);
/* An access of the device to memory. -EFAULT when a part of it was refused: those bytes read as all
 * ones, or were lost. */
int swiftdma_model_read(struct swiftdma_model *model, uint64_t bus_address, void *bytes,
                        size_t size);
int swiftdma_model_write(struct swiftdma_model *model, uint64_t bus_address, const void *bytes,
                         size_t size);
/* Asks for a call of `step` once so many nanoseconds have passed. */
int swiftdma_model_schedule(struct swiftdma_model *model, uint64_t nanoseconds, uint64_t tag);
/* Signals the device's interrupt. */
int swiftdma_model_interrupt(struct swiftdma_model *model);

/* --- Findings ----------------------------------------------------------------------------- */

/* A broken rule. Texts and names are valid during the callback. */
struct swiftdma_finding {
  size_t struct_size;
  /* The rule's name, as Documentation/checker-rules.md and swiftdma-findings(7) have it. */
  const char *rule;
  const char *device;
  /* The call to look at; "" and 0 where no call did it and nothing is known of one. */
  const char *file;
  unsigned int line;
  /* Where the mapping was made that it is about; "" and 0 when there is none. */
  const char *mapped_file;
  unsigned int mapped_line;
  /* All that is known, in words, with what to do about it. */
  const char *text;
};

/* Called on the thread and in the context of the call that broke the rule: it must not wait and must
 * not call the library. */
typedef void (*swiftdma_finding_handler)(void *context, const struct swiftdma_finding *finding);

/* Sums up memory that devices only read when it is mapped, and again at sync and unmap: finds CPU
 * writes without a sync. */
#define SWIFTDMA_CHECK_CONTENT 1u
/* Does not report mappings that share a cache line. */
#define SWIFTDMA_CHECK_NO_CACHE_LINES 2u

struct swiftdma_checker_options {
  size_t struct_size;
  /* Each rule and place once; NULL for messages by printk's way. */
  swiftdma_finding_handler handler;
  void *context;
  unsigned int flags;
  /* Bytes the checker may use; 0 for 256 MiB. */
  size_t memory_limit;
};

/* Turns the checker on for all devices of a machine, present and future. -EBUSY when it is on. */
int swiftdma_checker_start(struct swiftdma_machine *machine,
                           const struct swiftdma_checker_options *options);
/* Reports what is still live, of devices that were not removed. Returns broken rules so far, repeats
 * included, or a negative errno. */
int64_t swiftdma_checker_finish(struct swiftdma_machine *machine);
/* Broken rules so far, or a negative errno. */
int64_t swiftdma_checker_count(struct swiftdma_machine *machine);

/* Guard mode: finds the CPU touching memory that a device owns, by the instruction that does it. While
 * memory is mapped its pages are closed to the CPU (read-only where the device only reads); syncs for
 * the CPU open them, syncs for the device close them again. A touch is the finding
 * `cpu-touch-while-mapped`: `mapped_file` and `mapped_line` are where the memory was mapped, and the
 * text names the program or library, the instruction's offset in it, for addr2line, and the function
 * where it is known. The program goes on, with the page open until it is mapped or synced again.
 *
 * Touches are told at the next call that maps, unmaps, syncs or waits, and at swiftdma_checker_count
 * and _finish. A map costs a system call for each page; what shares a page with mapped memory is let
 * through. It takes SIGSEGV, and passes on what is none of its own.
 *
 * Call it after swiftdma_checker_start (-EINVAL without), before the machine has devices and the null
 * device has mappings (-EBUSY); -EOPNOTSUPP on QEMU. */
int swiftdma_guard_start(struct swiftdma_machine *machine);

/* --- Messages ----------------------------------------------------------------------------- */

/* Gets printk's messages: the level from 0 (emergency) to 7 (debug), and the text. NULL for standard
 * error, which is the rule. */
typedef void (*swiftdma_log_handler)(void *context, int level, const char *text);
void swiftdma_set_log(swiftdma_log_handler handler, void *context);

/* --- Drivers ------------------------------------------------------------------------------ */

/* Calls what module_init and module_exit named, in the order of linking; the first failure ends it
 * and is returned, after the exits of those before. */
int swiftdma_modules_init(void);
void swiftdma_modules_exit(void);

#ifdef __cplusplus
}
#endif

#endif
