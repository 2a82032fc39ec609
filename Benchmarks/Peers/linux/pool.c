/* Linux's dma_pool, from the kernel's own source in user space (see kernel_services.h). */
#include "kernel_services.h"
#include "../peer.h"

struct dma_pool *dma_pool_create(const char *, struct device *, size_t, size_t, size_t);
void *dma_pool_alloc(struct dma_pool *, gfp_t, dma_addr_t *);
void dma_pool_free(struct dma_pool *, void *, dma_addr_t);

#define DEPTH 8192
static struct device device;
static struct dma_pool *pool;
static struct { dma_addr_t address; void *cpu; } held[DEPTH];
static uint32_t order[DEPTH];

static void fill(void)
{
	for (int i = 0; i < DEPTH; i++)
		if (!(held[i].cpu = dma_pool_alloc(pool, GFP_KERNEL, &held[i].address))) abort();
}

static void begin(int size)
{
	INIT_LIST_HEAD(&device.dma_pools);
	int is_odd = size == 68;
	pool = dma_pool_create("peer", &device, size, is_odd ? 32 : size, is_odd ? 4096 : 0);
	if (!pool) abort();
	timing_shuffle(order, DEPTH, 12345);
	fill();
	for (int i = 0; i < DEPTH; i++) dma_pool_free(pool, held[i].cpu, held[i].address);
}

__attribute__((noinline)) static void ping_pong(long count)
{
	for (long i = 0; i < count; i++) {
		dma_addr_t address;
		void *cpu = dma_pool_alloc(pool, GFP_KERNEL, &address);
		timing_keep(cpu);
		dma_pool_free(pool, cpu, address);
	}
}

static void ping_pong_on_thread(void *context, int thread, long count)
{
	(void)context;
	kernel_cpu = thread;
	ping_pong(count);
}

__attribute__((noinline)) static void deep(long count)
{
	for (; count > 0; count -= DEPTH) {
		fill();
		for (int i = 0; i < DEPTH; i++) dma_pool_free(pool, held[i].cpu, held[i].address);
	}
}

__attribute__((noinline)) static void touched(long count)
{
	for (; count > 0; count -= DEPTH) {
		for (int i = 0; i < DEPTH; i++) {
			if (!(held[i].cpu = dma_pool_alloc(pool, GFP_KERNEL, &held[i].address))) abort();
			memset(held[i].cpu, 1, 64);
		}
		for (int i = 0; i < DEPTH; i++) dma_pool_free(pool, held[i].cpu, held[i].address);
	}
}

__attribute__((noinline)) static void random_order(long count)
{
	for (; count > 0; count -= DEPTH) {
		fill();
		for (int i = 0; i < DEPTH; i++)
			dma_pool_free(pool, held[order[i]].cpu, held[order[i]].address);
	}
}

__attribute__((noinline)) static void touched_random(long count)
{
	for (; count > 0; count -= DEPTH) {
		for (int i = 0; i < DEPTH; i++) {
			if (!(held[i].cpu = dma_pool_alloc(pool, GFP_KERNEL, &held[i].address))) abort();
			memset(held[i].cpu, 1, 64);
		}
		for (int i = 0; i < DEPTH; i++)
			dma_pool_free(pool, held[order[i]].cpu, held[order[i]].address);
	}
}

static const struct peer_case cases[] = {
	{"ping-pong-64", 0, begin, ping_pong, 0, 64},
	{"two-threads-64", 0, begin, 0, ping_pong_on_thread, 64},
	{"deep-16", DEPTH, begin, deep, 0, 16},
	{"deep-64", DEPTH, begin, deep, 0, 64},
	{"deep-256", DEPTH, begin, deep, 0, 256},
	{"deep-1024", DEPTH, begin, deep, 0, 1024},
	{"deep-4096", DEPTH, begin, deep, 0, 4096},
	{"deep-68", DEPTH, begin, deep, 0, 68},
	{"touched-64", DEPTH, begin, touched, 0, 64},
	{"touched-256", DEPTH, begin, touched, 0, 256},
	{"touched-1024", DEPTH, begin, touched, 0, 1024},
	{"touched-4096", DEPTH, begin, touched, 0, 4096},
	{"random-4096", DEPTH, begin, random_order, 0, 4096},
	{"touched-random-4096", DEPTH, begin, touched_random, 0, 4096},
};

int main(int argc, char **argv) { return peer_main(argc, argv, cases, sizeof cases / sizeof *cases); }
