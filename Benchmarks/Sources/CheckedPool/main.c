/* The pool as C has it: blocks are given back by two addresses, and each call is checked: a block that
 * is not of the pool, whose addresses do not belong together, or which is free already is refused. */
#include "peer.h"
#include "pci_dma.h"
#include "swiftdma.h"

#define DEPTH 8192
static struct pci_pool *pool;
static struct {
	void *cpu;
	dma_addr_t bus;
} held[DEPTH];

static void fill(void)
{
	for (int i = 0; i < DEPTH; i++)
		if (!(held[i].cpu = pci_pool_alloc(pool, SLAB_ATOMIC, &held[i].bus))) abort();
}

static void empty(void)
{
	for (int i = 0; i < DEPTH; i++) pci_pool_free(pool, held[i].cpu, held[i].bus);
}

static void begin(int size)
{
	struct swiftdma_machine *machine;
	struct swiftdma_model_options model;
	struct pci_dev *dev;
	memset(&model, 0, sizeof model);
	model.struct_size = sizeof model;
	model.bar_size = 16;
	if (swiftdma_machine_create(NULL, &machine) || swiftdma_model_add(machine, &model, &dev)) abort();
	pool = pci_pool_create("measured", dev, (size_t)size, (size_t)size, 0, SLAB_KERNEL);
	if (!pool) abort();
	fill();
	empty();
}

__attribute__((noinline)) static void ping_pong(long count)
{
	for (long i = 0; i < count; i++) {
		dma_addr_t bus;
		void *cpu = pci_pool_alloc(pool, SLAB_ATOMIC, &bus);
		timing_keep(cpu);
		pci_pool_free(pool, cpu, bus);
	}
}

__attribute__((noinline)) static void deep(long count)
{
	for (; count > 0; count -= DEPTH) {
		fill();
		empty();
	}
}

static const struct peer_case cases[] = {
	{"ping-pong-64", 0, begin, ping_pong, 0, 64},
	{"deep-64", DEPTH, begin, deep, 0, 64},
};

int main(int argc, char **argv) { return peer_main(argc, argv, cases, sizeof cases / sizeof *cases); }
