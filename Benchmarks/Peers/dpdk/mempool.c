/* DPDK's mempool with its per-core cache, and rte_malloc, without huge pages and devices. */
#include "../peer.h"
#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_mempool.h>

static struct rte_mempool *pool;
static void *objects[8192];

static void begin(int unused)
{
	(void)unused;
	char *arguments[] = {"peer", "--no-huge", "--no-pci", "-l", "0", "--no-telemetry", "--no-shconf", "-m", "512",
			     "--log-level", "1", NULL};
	if (rte_eal_init(sizeof arguments / sizeof *arguments - 1, arguments) < 0) abort();
	pool = rte_mempool_create("peer", 16383, 2048, 512, 0, NULL, NULL, NULL, NULL, rte_socket_id(), 0);
	if (!pool) abort();
}

__attribute__((noinline)) static void single(long count)
{
	for (long i = 0; i < count; i++) {
		void *object;
		if (rte_mempool_get(pool, &object)) abort();
		timing_keep(object);
		rte_mempool_put(pool, object);
	}
}

/* One by one, 128 out at a time: what the goal compares with. */
__attribute__((noinline)) static void keep_128(long count)
{
	for (; count > 0; count -= 128) {
		for (int i = 0; i < 128; i++)
			if (rte_mempool_get(pool, &objects[i])) abort();
		for (int i = 0; i < 128; i++) rte_mempool_put(pool, objects[i]);
	}
}

__attribute__((noinline)) static void bulk_32(long count)
{
	for (; count > 0; count -= 32) {
		if (rte_mempool_get_bulk(pool, objects, 32)) abort();
		timing_keep(objects);
		rte_mempool_put_bulk(pool, objects, 32);
	}
}

__attribute__((noinline)) static void allocate(long count)
{
	for (long i = 0; i < count; i++) {
		void *memory = rte_malloc(NULL, 64, 64);
		timing_keep(memory);
		rte_free(memory);
	}
}

static const struct peer_case cases[] = {
	{"single", 0, begin, single, 0, 0},
	{"keep-128", 128, begin, keep_128, 0, 0},
	{"bulk-32", 32, begin, bulk_32, 0, 0},
	{"rte-malloc-64", 0, begin, allocate, 0, 0},
};

int main(int argc, char **argv) { return peer_main(argc, argv, cases, sizeof cases / sizeof *cases); }
