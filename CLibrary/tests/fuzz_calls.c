/* SPDX-License-Identifier: Apache-2.0
 *
 * Sequences of calls, right and wrong, as chance has them. Whatever is called, the library must not
 * crash or hang, must not lose what the program still has, and must give all of it back in the end.
 *
 *     fuzz_calls [RUNS [SEED]]      a run is a sequence of up to 32 calls; 1,000,000 without numbers
 *
 * SWIFT_DMA_SEED gives the seed, too. With clang -fsanitize=fuzzer -DFUZZER it is a libFuzzer target. */

#include "check.h"

#define SLOTS 8
#define LIST 4

/* --- What decides --- */

static const u8 *input;
static size_t input_left;

static u8 byte(void) {
  if (input_left == 0) return 0;
  input_left--;
  return *input++;
}
static u32 word(void) {
  u32 value = byte();
  value |= (u32)byte() << 8;
  return value;
}

/* --- What the program has --- */

struct world {
  struct swiftdma_machine *machine;
  struct pci_dev *devices[2];
  struct swiftdma_model *models[2];
  u8 *objects[4];
};
static struct world worlds[10];
static struct world *w;

struct single {
  int used, device, direction;
  dma_addr_t handle;
  size_t size;
};
struct consistent {
  int used, device;
  void *address;
  dma_addr_t handle;
  size_t size;
};
struct list {
  int used, device, direction, count;
  struct scatterlist entries[LIST];
};
struct pool {
  struct pci_pool *pool;
  int device;
  size_t size;
};
struct block {
  int used, pool;
  void *address;
  dma_addr_t handle;
};
static struct single singles[SLOTS];
static struct consistent consistents[SLOTS];
static struct list lists[SLOTS];
static struct pool pools[2];
static struct block blocks[SLOTS];
static void *mallocs[SLOTS];

static void broken(const char *what) {
  fprintf(stderr, "error: %s\n", what);
  abort();
}

/* --- Values: mostly right, now and then absurd --- */

static struct pci_dev *some_device(int right) {
  u8 chance = byte();
  static struct pci_dev fake;
  if (chance > 12) return w->devices[right];
  switch (chance) {
  case 0: return NULL;
  case 1: return &fake;
  case 2: return (struct pci_dev *)(uintptr_t)0x10;
  case 3: return (struct pci_dev *)((char *)w->devices[right] + 64);
  default: return w->devices[1 - right];
  }
}
static size_t some_size(size_t right) {
  u8 chance = byte();
  if (chance > 12) return right;
  switch (chance) {
  case 0: return 0;
  case 1: return SIZE_MAX;
  case 2: return (size_t)1 << 63;
  case 3: return right + 1;
  case 4: return right - 1;
  default: return word();
  }
}
static int some_direction(int right) {
  u8 chance = byte();
  if (chance > 12) return right;
  return chance < 6 ? (int)chance - 1 : (int)word();
}
static dma_addr_t some_handle(dma_addr_t right) {
  u8 chance = byte();
  if (chance > 12) return right;
  switch (chance) {
  case 0: return 0;
  case 1: return DMA_MAPPING_ERROR;
  case 2: return right + 1;
  case 3: return right + 4096;
  case 4: return right ^ ((dma_addr_t)1 << 40);
  default: return singles[byte() % SLOTS].handle;
  }
}
static void *some_address(void *right) {
  u8 chance = byte();
  static u8 local;
  if (chance > 12) return right;
  switch (chance) {
  case 0: return NULL;
  case 1: {
    /* The stack, as it is now. */
    volatile uintptr_t place = (uintptr_t)&chance;
    return (void *)place;
  }
  case 2: return &local;
  case 3: return (char *)right + 1;
  case 4: return (char *)right + 4096;
  default: return (void *)(uintptr_t)word();
  }
}

/* --- Calls. Each says what must be true after it --- */

static void call_map(void) {
  struct single *slot = &singles[byte() % SLOTS];
  if (slot->used) return;
  int device = byte() & 1, direction = byte() % 3;
  size_t size = 1 + word() % 2048;
  u8 *object = w->objects[byte() % 4] + byte();
  struct pci_dev *given = some_device(device);
  size_t given_size = some_size(size);
  int given_direction = some_direction(direction);
  int is_later = (byte() & 1) != 0;
  if (is_later) given = w->devices[device];
  void *address = some_address(object);
  dma_addr_t handle = is_later ? dma_map_single(&given->dev, address, given_size,
                                                (enum dma_data_direction)given_direction)
                               : pci_map_single(given, address, given_size, given_direction);
  if (handle == DMA_MAPPING_ERROR) return;
  /* Only what can be right may have worked. */
  if (given_direction < 0 || given_direction > 2 || given_size == 0) broken("an absurd map worked");
  slot->used = 1;
  slot->device = given == w->devices[1 - device] ? 1 - device : device;
  if (given != w->devices[0] && given != w->devices[1]) {
    /* The device of buses without devices. */
    pci_unmap_single(NULL, handle, given_size, given_direction);
    slot->used = 0;
    return;
  }
  slot->handle = handle;
  slot->size = given_size;
  slot->direction = given_direction;
  if (dma_mapping_error(&w->devices[slot->device]->dev, handle) != 0) broken("a good handle is none");
}

static void call_unmap(void) {
  struct single *slot = &singles[byte() % SLOTS];
  int before = swiftdma_device_live_mappings(w->devices[slot->device]);
  struct pci_dev *given = some_device(slot->device);
  dma_addr_t handle = some_handle(slot->handle);
  size_t size = some_size(slot->size);
  int direction = some_direction(slot->direction);
  int is_right = slot->used && given == w->devices[slot->device] && handle == slot->handle &&
                 size == slot->size && direction == slot->direction;
  pci_unmap_single(given, handle, size, direction);
  int after = swiftdma_device_live_mappings(w->devices[slot->device]);
  if (is_right) {
    if (after != before - 1) broken("a right unmap did not unmap");
    slot->used = 0;
    return;
  }
  /* Another slot's mapping may have been meant by chance. */
  for (int index = 0; index < SLOTS; index++) {
    struct single *other = &singles[index];
    if (other->used && given == w->devices[other->device] && handle == other->handle &&
        size == other->size && direction == other->direction) {
      other->used = 0;
      return;
    }
  }
  if (after != before) broken("a wrong unmap unmapped something");
}

static void call_sync(void) {
  struct single *slot = &singles[byte() % SLOTS];
  struct pci_dev *given = some_device(slot->device);
  dma_addr_t handle = some_handle(slot->handle);
  size_t size = some_size(slot->size);
  int direction = some_direction(slot->direction);
  switch (byte() % 3) {
  case 0: pci_dma_sync_single(given, handle, size, direction); break;
  case 1: pci_dma_sync_single_for_cpu(given, handle, size, direction); break;
  default: pci_dma_sync_single_for_device(given, handle, size, direction); break;
  }
}

static void call_alloc(void) {
  struct consistent *slot = &consistents[byte() % SLOTS];
  if (slot->used) return;
  int device = byte() & 1;
  dma_addr_t handle = 0;
  size_t size = some_size(1 + word() % 20000);
  if (size > (size_t)1 << 30 && size != SIZE_MAX) size = 1;
  struct pci_dev *given = some_device(device);
  u8 *address = pci_alloc_consistent(given, size, (byte() > 4) ? &handle : NULL);
  if (address == NULL) return;
  address[size - 1] = 1;
  if (given == NULL) {
    pci_free_consistent(NULL, size, address, handle);
    return;
  }
  slot->used = 1;
  slot->device = given == w->devices[0] ? 0 : 1;
  slot->address = address;
  slot->handle = handle;
  slot->size = size;
}

static void call_free(void) {
  struct consistent *slot = &consistents[byte() % SLOTS];
  int before = swiftdma_device_live_consistent(w->devices[slot->device]);
  struct pci_dev *given = some_device(slot->device);
  size_t size = some_size(slot->size);
  void *address = some_address(slot->address);
  dma_addr_t handle = some_handle(slot->handle);
  int is_right = slot->used && given == w->devices[slot->device] && size == slot->size &&
                 address == slot->address && handle == slot->handle;
  for (int index = 0; index < SLOTS && !is_right; index++) {
    struct consistent *other = &consistents[index];
    if (other->used && given == w->devices[other->device] && size == other->size &&
        address == other->address && handle == other->handle) {
      before = swiftdma_device_live_consistent(w->devices[other->device]);
      slot = other;
      is_right = 1;
    }
  }
  pci_free_consistent(given, size, address, handle);
  int after = swiftdma_device_live_consistent(w->devices[slot->device]);
  if (after != before - is_right) broken("a free freed what it should not, or did not");
  if (is_right) slot->used = 0;
}

static void call_map_list(void) {
  struct list *slot = &lists[byte() % SLOTS];
  struct scatterlist scratch[LIST];
  struct scatterlist *entries = slot->used ? scratch : slot->entries;
  int device = byte() & 1, direction = byte() % 3, count = 1 + byte() % LIST;
  memset(entries, 0, sizeof(scratch));
  for (int index = 0; index < LIST; index++) {
    entries[index].address = some_address(w->objects[index] + byte());
    entries[index].length = (unsigned int)(byte() > 4 ? 1 + word() % 2000 : word() * 70000u);
  }
  struct pci_dev *given = some_device(device);
  int given_direction = some_direction(direction);
  int given_count = byte() > 8 ? count : (int)word() - 32768;
  if (given_count > LIST) given_count = LIST;
  int made = pci_map_sg(given, entries, given_count, given_direction);
  if (made == 0) return;
  if (made < 0 || made > given_count) broken("more segments than entries");
  size_t total = 0, mapped = 0;
  for (int index = 0; index < given_count; index++) total += entries[index].length;
  for (int index = 0; index < made; index++) mapped += sg_dma_len(&entries[index]);
  if (total != mapped) broken("a list lost bytes");
  if (slot->used || given == NULL) {
    pci_unmap_sg(given, entries, given_count, given_direction);
    return;
  }
  slot->used = 1;
  slot->device = given == w->devices[0] ? 0 : 1;
  slot->direction = given_direction;
  slot->count = given_count;
}

static void call_unmap_list(void) {
  struct list *slot = &lists[byte() % SLOTS];
  int before = swiftdma_device_live_mappings(w->devices[slot->device]);
  struct pci_dev *given = some_device(slot->device);
  int direction = some_direction(slot->direction);
  int count = byte() > 12 ? slot->count : (int)byte() - 4;
  int is_right = slot->used && given == w->devices[slot->device] && direction == slot->direction &&
                 count == slot->count;
  if (byte() < 64) {
    pci_dma_sync_sg(given, slot->entries, count, direction);
    is_right = 0;
  } else {
    pci_unmap_sg(given, slot->entries, count, direction);
  }
  int after = swiftdma_device_live_mappings(w->devices[slot->device]);
  if (after != before - is_right) broken("a list was unmapped that should not be, or was not");
  if (is_right) slot->used = 0;
}

static void call_pool_alloc(void) {
  struct block *slot = &blocks[byte() % SLOTS];
  if (slot->used) return;
  int number = byte() & 1;
  dma_addr_t handle = 0;
  u8 *address = (byte() & 1) != 0 ? pci_pool_alloc(pools[number].pool, SLAB_ATOMIC, &handle)
                                  : dma_pool_zalloc(pools[number].pool, GFP_KERNEL, &handle);
  if (address == NULL) broken("a pool has no block");
  for (int index = 0; index < SLOTS; index++) {
    if (blocks[index].used && blocks[index].address == address) broken("a block was given out twice");
  }
  memset(address, 0x3c, pools[number].size);
  slot->used = 1;
  slot->pool = number;
  slot->address = address;
  slot->handle = handle;
}

static void call_pool_free(void) {
  struct block *slot = &blocks[byte() % SLOTS];
  u8 chance = byte();
  struct pci_pool *given = chance > 12 ? pools[slot->pool].pool
                           : chance < 6 ? pools[1 - slot->pool].pool
                                        : (struct pci_pool *)(uintptr_t)word();
  void *address = some_address(slot->address);
  dma_addr_t handle = some_handle(slot->handle);
  int is_right = slot->used && given == pools[slot->pool].pool && address == slot->address &&
                 handle == slot->handle;
  /* A slot that is free may name another's block by chance. */
  for (int index = 0; index < SLOTS && !is_right; index++) {
    struct block *other = &blocks[index];
    if (other->used && given == pools[other->pool].pool && address == other->address &&
        handle == other->handle) {
      slot = other;
      is_right = 1;
    }
  }
  pci_pool_free(given, address, handle);
  if (is_right) slot->used = 0;
}

static void call_kernel(void) {
  int index = byte() % SLOTS;
  switch (byte() % 5) {
  case 0:
    if (mallocs[index] == NULL) mallocs[index] = kmalloc(some_size(1 + word() % 9000) % 100000, (int)word());
    break;
  case 1: {
    void *given = some_address(mallocs[index]);
    kfree(given);
    if (given == mallocs[index]) mallocs[index] = NULL;
    break;
  }
  case 2: {
    u8 bytes[64];
    (void)swiftdma_model_read(w->models[byte() & 1], some_handle(singles[index].handle), bytes, 1 + byte() % 64);
    break;
  }
  case 3: {
    u32 value;
    (void)pci_read_config_dword(some_device(byte() & 1), (int)word() - 100, &value);
    break;
  }
  default: (void)swiftdma_classify(w->machine, some_address(w->objects[0]), some_size(word())); break;
  }
}

static void call_mask(void) {
  static const uint64_t masks[] = {0xffffffff, 0x00ffffff, 0, 0xff, 0xf0f0, UINT64_MAX};
  struct pci_dev *dev = w->devices[byte() & 1];
  uint64_t mask = masks[byte() % ARRAY_SIZE(masks)];
  if ((byte() & 1) != 0) {
    if (pci_set_dma_mask(dev, mask) == 0 && dev->dma_mask != mask) broken("a mask was not recorded");
  } else {
    dev->dma_mask = mask;
  }
}

/* --- A run --- */

static void begin(void) {
  w = &worlds[byte() % SETUP_COUNT];
  (void)swiftdma_machine_select(w->machine);
  memset(singles, 0, sizeof(singles));
  memset(consistents, 0, sizeof(consistents));
  memset(lists, 0, sizeof(lists));
  memset(blocks, 0, sizeof(blocks));
  for (int index = 0; index < 2; index++) {
    static const size_t sizes[] = {8, 24, 64, 68, 512, 3000};
    w->devices[index]->dma_mask = 0xffffffff;
    pools[index].device = index;
    pools[index].size = sizes[byte() % ARRAY_SIZE(sizes)];
    pools[index].pool = pci_pool_create("fuzz", w->devices[index], pools[index].size, 8,
                                        (byte() & 1) != 0 ? 4096 : 0, 0);
    if (pools[index].pool == NULL) broken("no pool");
  }
}

static void end(void) {
  for (int index = 0; index < SLOTS; index++) {
    struct single *single = &singles[index];
    struct consistent *consistent = &consistents[index];
    struct list *list = &lists[index];
    struct block *block = &blocks[index];
    if (single->used) {
      pci_unmap_single(w->devices[single->device], single->handle, single->size, single->direction);
    }
    if (consistent->used) {
      pci_free_consistent(w->devices[consistent->device], consistent->size, consistent->address,
                          consistent->handle);
    }
    if (list->used) {
      pci_unmap_sg(w->devices[list->device], list->entries, list->count, list->direction);
    }
    if (block->used) pci_pool_free(pools[block->pool].pool, block->address, block->handle);
    kfree(mallocs[index]);
    mallocs[index] = NULL;
  }
  for (int index = 0; index < 2; index++) pci_pool_destroy(pools[index].pool);
  for (int index = 0; index < 2; index++) {
    if (swiftdma_device_live_mappings(w->devices[index]) != 0) broken("a mapping is left");
    if (swiftdma_device_live_consistent(w->devices[index]) != 0) broken("consistent memory is left");
  }
}

static void run(const u8 *data, size_t size) {
  static void (*const calls[])(void) = {call_map,       call_unmap,      call_sync,      call_alloc,
                                        call_free,      call_map_list,   call_unmap_list, call_pool_alloc,
                                        call_pool_free, call_kernel,     call_map,       call_unmap,
                                        call_pool_alloc, call_pool_free, call_mask};
  input = data;
  input_left = size;
  begin();
  for (int count = 0; count < 32 && input_left > 0; count++) calls[byte() % ARRAY_SIZE(calls)]();
  end();
}

static void prepare(void) {
  swiftdma_set_log(drop_message, NULL);
  for (int index = 0; index < SETUP_COUNT; index++) {
    struct world *world = &worlds[index];
    world->machine = make_machine(&setups[index], 0);
    /* Half of them with a checker: other ways through the library. */
    if (index % 2 == 0) start_checker(world->machine, 0);
    for (int number = 0; number < 2; number++) {
      world->devices[number] = add_probe(world->machine, (unsigned short)number);
      world->models[number] = swiftdma_model_of(world->devices[number]);
    }
    for (int number = 0; number < 4; number++) {
      world->objects[number] = (u8 *)__get_free_pages(GFP_KERNEL, 1);
      memset(world->objects[number], number, 8192);
    }
  }
}

#ifdef FUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (worlds[0].machine == NULL) prepare();
  run(data, size);
  return 0;
}
#else
int main(int count, char **arguments) {
  unsigned long runs = count > 1 ? strtoul(arguments[1], NULL, 0) : 1000000;
  const char *given = count > 2 ? arguments[2] : getenv("SWIFT_DMA_SEED");
  uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : 1;
  printf("SWIFT_DMA_SEED=%llu\n", (unsigned long long)seed);
  fflush(stdout);
  prepare();
  for (unsigned long number = 0; number < runs; number++) {
    /* Each run from its own number, so that it can be run alone. */
    uint64_t state = seed * 0x9e3779b97f4a7c15ULL + number;
    u8 data[512];
    for (size_t index = 0; index < sizeof(data); index += 8) {
      state += 0x9e3779b97f4a7c15ULL;
      uint64_t mixed = state;
      mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
      mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
      mixed ^= mixed >> 31;
      memcpy(data + index, &mixed, 8);
    }
    run(data, 64 + number % 449);
  }
  printf("count: %lu sequences of calls, no crash, nothing left\n", runs);
  return 0;
}
#endif
