/* What a C program has without us: the general allocator that is preloaded, and memcpy. */
#include "../peer.h"

static char *source, *target;
static size_t bytes;

static void begin(int size)
{
	bytes = (size_t)size;
	source = aligned_alloc(4096, 1 << 17);
	target = aligned_alloc(4096, 1 << 17);
	if (!source || !target) abort();
	memset(source, 1, 1 << 17);
	memset(target, 2, 1 << 17);
}

__attribute__((noinline)) static void allocate(long count)
{
	for (long i = 0; i < count; i++) {
		void *memory = malloc(bytes);
		timing_keep(memory);
		free(memory);
	}
}

__attribute__((noinline)) static void copy(long count)
{
	for (long i = 0; i < count; i++) {
		timing_keep(source);
		memcpy(target, source, bytes);
		timing_keep(target);
	}
}

static const struct peer_case cases[] = {
	{"malloc-64", 0, begin, allocate, 0, 64},
	{"memcpy-512", 0, begin, copy, 0, 512},
	{"memcpy-4096", 0, begin, copy, 0, 4096},
	{"memcpy-65536", 0, begin, copy, 0, 65536},
};

int main(int argc, char **argv) { return peer_main(argc, argv, cases, sizeof cases / sizeof *cases); }
