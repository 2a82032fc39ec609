/* Linux's IOVA allocator, from the kernel's own source in user space (see kernel_services.h). */
#include <linux/iova.h>
#include "../peer.h"

#define LIMIT ((1UL << 36) - 1) /* pages of a 48-bit device */
#define STANDING 65536
static struct iova_domain domain;
static unsigned long held[STANDING];
static struct iova *nodes[STANDING];
static uint32_t order[STANDING];
static const int mixed[6] = {1, 2, 4, 8, 16, 32};
static uint8_t sizes[STANDING];
static unsigned long pages_each;

static void begin_domain(void)
{
	static int once;
	if (!once++) iova_cache_get();
	memset(&domain, 0, sizeof domain);
	init_iova_domain(&domain, 4096, 1);
	iova_domain_init_rcaches(&domain);
}

static void begin(int pages)
{
	pages_each = pages;
	for (long i = 0; i < STANDING; i++) sizes[i] = pages ? pages : mixed[i * 7 % 6];
	timing_shuffle(order, STANDING, 4242);
	begin_domain();
}

__attribute__((noinline)) static void ping_pong(long count)
{
	unsigned long pages = pages_each;
	for (long i = 0; i < count; i++) {
		unsigned long page = alloc_iova_fast(&domain, pages, LIMIT, true);
		if (!page) abort();
		free_iova_fast(&domain, page, pages);
	}
}

static void ping_pong_on_thread(void *context, int thread, long count)
{
	(void)context;
	kernel_cpu = thread;
	ping_pong(count);
}

static void begin_standing(int pages)
{
	begin(pages);
	for (long i = 0; i < STANDING; i++)
		if (!(held[i] = alloc_iova_fast(&domain, sizes[i], LIMIT, true))) abort();
}

/* A driver that runs for long: a random one of many live ranges ends, another begins. */
__attribute__((noinline)) static void replace(long count)
{
	for (; count > 0; count -= STANDING)
		for (long i = 0; i < STANDING; i++) {
			uint32_t k = order[i];
			free_iova_fast(&domain, held[k], sizes[k]);
			held[k] = alloc_iova_fast(&domain, sizes[k], LIMIT, true);
		}
}

/* An empty domain each time. */
__attribute__((noinline)) static void first_fill(long count)
{
	for (; count > 0; count -= STANDING) {
		begin_domain();
		for (long i = 0; i < STANDING; i++)
			if (!(held[i] = alloc_iova_fast(&domain, 1, LIMIT, true))) abort();
		for (long i = STANDING; i-- > 0;) free_iova_fast(&domain, held[i], 1);
		put_iova_domain(&domain);
	}
}

static void begin_nothing(int pages) { (void)pages; }

/* Without the caches. */
__attribute__((noinline)) static void tree(long count)
{
	for (; count > 0; count -= STANDING) {
		for (long i = 0; i < STANDING; i++)
			if (!(nodes[i] = alloc_iova(&domain, 1, LIMIT, true))) abort();
		for (long i = 0; i < STANDING; i++) __free_iova(&domain, nodes[order[i]]);
	}
}

static const struct peer_case cases[] = {
	{"ping-pong-1", 0, begin, ping_pong, 0, 1},
	{"ping-pong-64", 0, begin, ping_pong, 0, 64},
	{"two-threads-1", 0, begin, 0, ping_pong_on_thread, 1},
	{"replace-mixed", STANDING, begin_standing, replace, 0, 0},
	{"first-fill", STANDING, begin_nothing, first_fill, 0, 1},
	{"tree-random", STANDING, begin, tree, 0, 1},
};

int main(int argc, char **argv) { return peer_main(argc, argv, cases, sizeof cases / sizeof *cases); }
