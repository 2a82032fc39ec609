/* Mapping behind an IOMMU as we do it, written in C: the same table of functions, the same checks,
 * the same short ways. "unchecked" leaves out every check that a correct driver never fails.
 *
 * Entries of a table that hardware walks are single 64-bit stores (volatile) on both sides. */
#include "../peer.h"
#include "twins.h"

enum { ORDERS = 10, SLOTS = 64, CAPACITY = 127, TO_DEVICE = 1 };
#define ADDRESS_MASK 0x000ffffffffff000ull
#define COUNT_SHIFT 52
#define END_32 (1ull << 20)

/* A stack of free pages; pages[top], below it a page that never fits. */
struct magazine {
	uint64_t top;
	uint64_t pages[CAPACITY + 1];
};

/* One thread's own; "closed" sends it the long way. */
struct slot {
	volatile uint8_t inside, closed;
	struct magazine *loaded[ORDERS];
} __attribute__((aligned(64)));

struct unit {
	int (*invalidate)(void *context, uint32_t domain, uint64_t first, uint64_t count, int with_tables);
	void *context;
};

struct domain {
	struct slot *slots;
	uintptr_t *root; /* 512 children; leaves hold entries */
	uintptr_t *near; /* the first 4 GiB: 4 children of level 2 */
	long levels;
	uint64_t page_bound, near_bound;
	uint8_t is_plain, is_deferred, is_wide;
	struct unit unit;
	uint32_t id;
	uint64_t invalidations;
};

struct device {
	uint32_t flags;
	const struct operations *operations;
	struct domain *context;
	uint64_t limit;
	uint8_t is_coherent;
};

struct operations {
	int (*map)(struct device *, uintptr_t cpu, uint64_t physical, long bytes, uint32_t traits, uint64_t *numbers);
	int (*unmap)(struct device *, uint64_t address, uintptr_t cpu, long bytes, uint32_t traits, uint64_t *numbers);
};

static __thread uint32_t thread_slot;

/* What is rare: here it never happens. */
__attribute__((noinline)) static uint64_t take_slowly(struct domain *domain, uint64_t count, uint64_t bound)
{
	(void)domain, (void)count, (void)bound;
	abort();
}

__attribute__((noinline)) static void give_slowly(struct domain *domain, uint64_t page, uint64_t count)
{
	(void)domain, (void)page, (void)count;
	abort();
}

__attribute__((noinline)) static void maintain(struct device *device, uintptr_t cpu, long bytes, uint32_t traits)
{
	(void)device, (void)cpu, (void)bytes, (void)traits;
	abort();
}

static inline int order_of(uint64_t count)
{
	if (count == 1) return 0;
	if (count > 32 && (count & (count - 1))) return ORDERS;
	return 64 - __builtin_clzll(count - 1);
}

static inline uint64_t take(struct domain *domain, uint64_t count, uint64_t bound)
{
	int order = order_of(count);
	struct slot *slot = &domain->slots[thread_slot];
	if (order < ORDERS) {
		slot->inside = 1;
		if (slot->closed == 0) {
			struct magazine *loaded = slot->loaded[order];
			uint64_t page = 0;
			if (loaded) {
				uint64_t candidate = loaded->pages[loaded->top];
				if (candidate + count <= bound) {
					loaded->top--;
					page = candidate;
				}
			}
			slot->inside = 0;
			if (page) return page;
		} else {
			slot->inside = 0;
		}
	}
	return take_slowly(domain, count, bound);
}

static inline void give(struct domain *domain, uint64_t page, uint64_t count)
{
	int order = order_of(count);
	struct slot *slot = &domain->slots[thread_slot];
	if (order < ORDERS) {
		slot->inside = 1;
		if (slot->closed == 0) {
			struct magazine *loaded = slot->loaded[order];
			int is_kept = 0;
			if (loaded && loaded->top < CAPACITY) {
				loaded->pages[++loaded->top] = page;
				is_kept = 1;
			}
			slot->inside = 0;
			if (is_kept) return;
		} else {
			slot->inside = 0;
		}
	}
	give_slowly(domain, page, count);
}

static inline volatile uint64_t *leaf_of(struct domain *domain, uint64_t page)
{
	uintptr_t *shadow = domain->root;
	for (long shift = 9 * (domain->levels - 1); shift > 9; shift -= 9) {
		shadow = (uintptr_t *)shadow[page >> shift & 511];
		if (!shadow) return NULL;
	}
	return (volatile uint64_t *)shadow[page >> 9 & 511];
}

/* The same for a page below 4 GiB. */
static inline volatile uint64_t *near_leaf_of(struct domain *domain, uint64_t page)
{
	uintptr_t *shadow = (uintptr_t *)domain->near[page >> 18 & 3];
	return shadow ? (volatile uint64_t *)shadow[page >> 9 & 511] : NULL;
}

static inline uint64_t permissions(uint32_t traits) { return traits & 3 ? traits & 3 : 3; }

static inline uint64_t pages_of(uint64_t address, long bytes)
{
	return ((address & 4095) + (uint64_t)bytes + 4095) >> 12;
}

static inline uint64_t bound_of(struct device *device, struct domain *domain)
{
	uint64_t bound = (device->limit >> 12) + ((device->limit & 4095) == 4095);
	if (bound > domain->page_bound) bound = domain->page_bound;
	if (bound > END_32 && !domain->is_wide) bound = END_32;
	return bound;
}

__attribute__((noinline)) static int map_many(
	struct device *device, uintptr_t cpu, uint64_t physical, long bytes, uint32_t traits, uint64_t *numbers)
{
	struct domain *domain = device->context;
	uint64_t count = pages_of(physical, bytes);
	uint64_t first = take(domain, count, bound_of(device, domain));
	if (!first) return 5;
	uint64_t entry = (physical & ADDRESS_MASK) | permissions(traits);
	uint64_t mark = (count < 1023 ? count : 1023) << COUNT_SHIFT;
	for (uint64_t page = first, end = first + count; page < end;) {
		volatile uint64_t *leaf = leaf_of(domain, page);
		if (!leaf) abort();
		uint64_t part = 512 - (page & 511);
		if (part > end - page) part = end - page;
		volatile uint64_t *entries = leaf + (page & 511);
		for (uint64_t i = 0; i < part; i++, entry += 4096) entries[i] = entry;
		if (page == first) entries[0] = (entry - part * 4096) | mark;
		page += part;
	}
	if (!device->is_coherent) maintain(device, cpu, bytes, traits);
	numbers[0] = first << 12 | (physical & 4095);
	return 0;
}

static int map_checked(
	struct device *device, uintptr_t cpu, uint64_t physical, long bytes, uint32_t traits, uint64_t *numbers)
{
	struct domain *domain = device->context;
	if (!domain) abort();
	uint64_t offset = physical & 4095;
	if (offset + (uint64_t)bytes <= 4096 && device->limit >= 0xffffffff) {
		struct slot *slot = &domain->slots[thread_slot];
		uint64_t page = 0;
		slot->inside = 1;
		if (slot->closed == 0) {
			struct magazine *loaded = slot->loaded[0];
			uint64_t top = loaded->top, candidate = loaded->pages[top];
			if (candidate + 1 <= domain->near_bound) {
				loaded->top = top - 1;
				page = candidate;
			}
		}
		slot->inside = 0;
		if (page) {
			volatile uint64_t *leaf = near_leaf_of(domain, page);
			if (leaf) {
				leaf[page & 511] = (physical & ADDRESS_MASK) | permissions(traits) | 1ull << COUNT_SHIFT;
				numbers[0] = page << 12 | offset;
				return 0;
			}
			give_slowly(domain, page, 1);
		}
	}
	return map_many(device, cpu, physical, bytes, traits, numbers);
}

__attribute__((noinline)) static int invalidate(struct domain *domain, uint64_t first, uint64_t count)
{
	domain->invalidations++;
	return domain->unit.invalidate(domain->unit.context, domain->id, first << 12, count << 12, 0);
}

__attribute__((noinline)) static int unmap_many(struct domain *domain, uint64_t first, uint64_t count, uint64_t *numbers)
{
	volatile uint64_t *leaf = leaf_of(domain, first);
	uint64_t marked = leaf ? leaf[first & 511] >> COUNT_SHIFT & 1023 : 0;
	if (marked != count) {
		numbers[0] = marked ? marked << 12 : first << 12;
		numbers[1] = count << 12;
		return marked ? 10 : 9;
	}
	numbers[2] = 0;
	for (uint64_t page = first, end = first + count; page < end;) {
		uint64_t part = 512 - (page & 511);
		if (part > end - page) part = end - page;
		leaf = leaf_of(domain, page);
		if (leaf) {
			volatile uint64_t *entries = leaf + (page & 511);
			for (uint64_t i = 0; i < part; i++) entries[i] = 0;
		}
		page += part;
	}
	if (invalidate(domain, first, count)) abort();
	give(domain, first, count);
	return 0;
}

__attribute__((noinline)) static int unmap_rest(
	struct device *device, uint64_t address, uintptr_t cpu, long bytes, uint32_t traits, uint64_t *numbers)
{
	int status = unmap_many(device->context, address >> 12, pages_of(address, bytes), numbers);
	if (!status && !device->is_coherent) maintain(device, cpu, bytes, traits);
	return status;
}

static int unmap_checked(
	struct device *device, uint64_t address, uintptr_t cpu, long bytes, uint32_t traits, uint64_t *numbers)
{
	struct domain *domain = device->context;
	if (!domain) abort();
	uint64_t count = pages_of(address, bytes), page = address >> 12;
	volatile uint64_t *leaf;
	if (count == 1 && page < END_32 && domain->is_plain && (leaf = near_leaf_of(domain, page)) &&
	    (leaf[page & 511] >> COUNT_SHIFT & 1023) == 1) {
		leaf[page & 511] = 0;
		numbers[2] = 0;
		if (domain->is_deferred) abort();
		domain->invalidations++;
		if (domain->unit.invalidate(domain->unit.context, domain->id, page << 12, 4096, 0)) abort();
		give(domain, page, 1);
		return 0;
	}
	return unmap_rest(device, address, cpu, bytes, traits, numbers);
}

/* Without checks: the pages are there, the tables are there, the mapping is what it is said to be. */
static int map_unchecked(
	struct device *device, uintptr_t cpu, uint64_t physical, long bytes, uint32_t traits, uint64_t *numbers)
{
	(void)cpu;
	struct domain *domain = device->context;
	uint64_t count = pages_of(physical, bytes);
	struct magazine *loaded = domain->slots[thread_slot].loaded[count == 1 ? 0 : 64 - __builtin_clzll(count - 1)];
	uint64_t first = loaded->pages[loaded->top--];
	uint64_t entry = (physical & ADDRESS_MASK) | permissions(traits);
	numbers[0] = first << 12 | (physical & 4095);
	if (count == 1) {
		near_leaf_of(domain, first)[first & 511] = entry;
		return 0;
	}
	for (uint64_t page = first, end = first + count; page < end;) {
		uint64_t part = 512 - (page & 511);
		if (part > end - page) part = end - page;
		volatile uint64_t *entries = near_leaf_of(domain, page) + (page & 511);
		for (uint64_t i = 0; i < part; i++, entry += 4096) entries[i] = entry;
		page += part;
	}
	return 0;
}

static int unmap_unchecked(
	struct device *device, uint64_t address, uintptr_t cpu, long bytes, uint32_t traits, uint64_t *numbers)
{
	(void)cpu, (void)traits, (void)numbers;
	struct domain *domain = device->context;
	uint64_t count = pages_of(address, bytes), first = address >> 12;
	if (count == 1) {
		near_leaf_of(domain, first)[first & 511] = 0;
		struct magazine *loaded = domain->slots[thread_slot].loaded[0];
		loaded->pages[++loaded->top] = first;
		return 0;
	}
	for (uint64_t page = first, end = first + count; page < end;) {
		uint64_t part = 512 - (page & 511);
		if (part > end - page) part = end - page;
		volatile uint64_t *entries = near_leaf_of(domain, page) + (page & 511);
		for (uint64_t i = 0; i < part; i++) entries[i] = 0;
		page += part;
	}
	struct magazine *loaded = domain->slots[thread_slot].loaded[count == 1 ? 0 : 64 - __builtin_clzll(count - 1)];
	loaded->pages[++loaded->top] = first;
	return 0;
}

static int invalidate_nothing(void *context, uint32_t id, uint64_t first, uint64_t count, int with_tables)
{
	(void)context, (void)id, (void)first, (void)count, (void)with_tables;
	return 0;
}

static const struct operations checked = {map_checked, unmap_checked}, unchecked = {map_unchecked, unmap_unchecked};
static struct domain domain;
static struct device device;
static long buffer_bytes;
static uint64_t buffer_physical = 0x1234567000;

/* One aligned run of addresses below 4 GiB, and the tables that lead there. */
static void begin(int pages)
{
	uint64_t first = END_32 - 512;
	int order = order_of((uint64_t)pages);
	struct magazine *magazine = calloc(1, sizeof *magazine);
	magazine->pages[0] = 1ull << 62;
	magazine->pages[1] = first;
	magazine->top = 1;
	domain.slots = aligned_alloc(64, sizeof *domain.slots * SLOTS);
	memset(domain.slots, 0, sizeof *domain.slots * SLOTS);
	thread_slot = 1;
	domain.slots[1].loaded[order] = magazine;
	domain.levels = 4;
	domain.page_bound = 1ull << 36;
	domain.is_plain = 1;
	domain.unit.invalidate = invalidate_nothing;
	uintptr_t *shadow = domain.root = calloc(512, sizeof *shadow);
	domain.near = calloc(4, sizeof *domain.near);
	domain.near_bound = END_32;
	for (long shift = 27; shift >= 9; shift -= 9) {
		void *child = aligned_alloc(4096, 4096);
		memset(child, 0, 4096);
		shadow[first >> shift & 511] = (uintptr_t)child;
		shadow = child;
		if (shift == 18) domain.near[first >> 18] = (uintptr_t)shadow;
	}
	device.flags = 4;
	device.context = &domain;
	device.limit = UINT64_MAX;
	device.is_coherent = 1;
	buffer_bytes = 4096l * pages;
}

static void begin_checked(int pages) { begin(pages); device.operations = &checked; }
static void begin_unchecked(int pages) { begin(pages); device.operations = &unchecked; }

/* Who listens to a device hears where the call was made. */
__attribute__((noinline)) static int watched(const char *file, uint64_t traits_and_line)
{
	(void)file, (void)traits_and_line;
	abort();
}

/* What a driver calls, as dma_map_page and dma_unmap_page in Linux: whatever the mapping, it goes on
 * through the device's table. */
__attribute__((noinline)) int map_region(
	struct device *device, uintptr_t cpu, uint64_t physical, long bytes, uint64_t traits, const char *file,
	uint64_t *address)
{
	if (device->flags != 4) return watched(file, traits);
	uint64_t numbers[3] = {0};
	int status = device->operations->map(device, cpu, physical, bytes, traits, numbers);
	*address = numbers[0];
	return status;
}

__attribute__((noinline)) void unmap_region(
	struct device *device, uint64_t address, uintptr_t cpu, long bytes, uint64_t traits, const char *file)
{
	if (device->flags != 4) {
		watched(file, traits);
		return;
	}
	uint64_t numbers[3] = {0};
	if (device->operations->unmap(device, address, cpu, bytes, traits, numbers)) abort();
}

__attribute__((noinline)) static void pairs(long count)
{
	struct device *it = &device;
	__asm__ volatile("" : "+r"(it));
	for (long i = 0; i < count; i++) {
		uint64_t address;
		uint64_t line = (uint64_t)__LINE__ << 32 | TO_DEVICE;
		if (map_region(it, 0x7000, buffer_physical, buffer_bytes, line, __FILE__, &address)) abort();
		unmap_region(it, address, 0x7000, buffer_bytes, line, __FILE__);
	}
}

const struct peer_case iommu_cases[] = {
	{"iommu-1", 0, begin_checked, pairs, 0, 1},
	{"iommu-256", 0, begin_checked, pairs, 0, 256},
	{"iommu-unchecked-1", 0, begin_unchecked, pairs, 0, 1},
	{"iommu-unchecked-256", 0, begin_unchecked, pairs, 0, 256},
	{0},
};
