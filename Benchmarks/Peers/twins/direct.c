/* The least that mapping a buffer directly can be: is it in reach, and where is it on the bus. */
#include "../peer.h"
#include "twins.h"

struct device {
	uint64_t limit, offset;
	uint32_t flags;
};

static struct device device = {0xffffffff, 0, 0};
static uint64_t physical = 0x19be000;
static const uint64_t bytes = 1500;

static void begin(int unused)
{
	(void)unused;
	timing_keep(&device);
	timing_keep(&physical);
}

__attribute__((noinline)) static void direct(long count)
{
	for (long i = 0; i < count; i++) {
		struct device *it = &device;
		__asm__ volatile("" : "+r"(it));
		uint64_t address = physical + it->offset;
		if (it->flags || bytes - 1 > it->limit || address > it->limit - (bytes - 1)) abort();
		__asm__ volatile("" : "+r"(address));
	}
}

const struct peer_case direct_cases[] = {
	{"direct", 0, begin, direct, 0, 0},
	{0},
};
