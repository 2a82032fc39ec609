/* What one core can do in C: reads a text trace of dma events once, sums bytes for each device, and finds
 * mappings that were never unmapped in a table of its own.  leak_limit TRACE [RUNS] */
#define _GNU_SOURCE
#include "timing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVS 256
static struct { char name[32]; int len; uint64_t bytes, maps, unmaps; } dev[DEVS];
static int ndev, lastdev;
static struct slot { uint64_t key; uint64_t info; } *tab;     /* key 0 = empty; info = size<<20 | dir */
static uint64_t mask, live, bad;

static inline uint64_t mix(uint64_t k) { k *= 0x9E3779B97F4A7C15ull; return k ^ (k >> 32); }
static inline int dev_id(const char *s, int n)
{
	if (lastdev < ndev && dev[lastdev].len == n && !memcmp(dev[lastdev].name, s, n)) return lastdev;
	for (int i = 0; i < ndev; i++) if (dev[i].len == n && !memcmp(dev[i].name, s, n)) return lastdev = i;
	if (ndev == DEVS || n > 31) return 0;
	memcpy(dev[ndev].name, s, n); dev[ndev].len = n; return lastdev = ndev++;
}
static void grow(void)
{
	struct slot *o = tab; uint64_t om = mask;
	mask = mask * 2 + 1; tab = calloc(mask + 1, sizeof *tab);
	for (uint64_t i = 0; i <= om; i++) if (o[i].key) { uint64_t j = mix(o[i].key) & mask; while (tab[j].key) j = (j + 1) & mask; tab[j] = o[i]; }
	free(o);
}
static inline void put(uint64_t k, uint64_t info)
{
	if (live * 4 > mask * 3) grow();
	uint64_t i = mix(k) & mask;
	while (tab[i].key) { if (tab[i].key == k) { bad++; tab[i].info = info; return; } i = (i + 1) & mask; }
	tab[i].key = k; tab[i].info = info; live++;
}
static inline void del(uint64_t k, uint64_t info)
{
	uint64_t i = mix(k) & mask;
	while (tab[i].key != k) { if (!tab[i].key) { bad++; return; } i = (i + 1) & mask; }
	if (tab[i].info != info) bad++;
	live--;
	for (uint64_t j = i;;) {                                  /* close the gap */
		j = (j + 1) & mask;
		if (!tab[j].key) break;
		uint64_t h = mix(tab[j].key) & mask;
		if (((j - h) & mask) >= ((j - i) & mask)) { tab[i] = tab[j]; i = j; }
	}
	tab[i].key = 0;
}
static const int8_t hexv[256] = {
	['0'] = 1, ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5, ['5'] = 6, ['6'] = 7, ['7'] = 8, ['8'] = 9, ['9'] = 10,
	['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16 };

static uint64_t run(const char *b, size_t n)
{
	const char *p = b, *end = b + n; uint64_t ev = 0;
	while (p < end) {
		if (*p == '#') { p = memchr(p, '\n', end - p); p = p ? p + 1 : end; continue; }
		const char *q = memchr(p, '=', end - p);
		if (!q) break;
		const char *de = q - 4, *ds = de;                 /* "... NAME: DEVICE dir=" */
		while (ds > p && ds[-1] != ' ') ds--;
		const char *es = ds - 2;
		while (es > p && es[-1] != ' ') es--;
		int d = dev_id(ds, de - ds);
		int unmap = es[4] == 'u';
		uint64_t dir = (uint8_t)q[1];
		q++; while (*q != ' ') q++;
		q += 10;                                          /* " dma_addr=" */
		uint64_t a = 0; int h;
		while ((h = hexv[(uint8_t)*q])) { a = a << 4 | (h - 1); q++; }
		q += 6;                                           /* " size=" */
		uint64_t sz = 0;
		while ((uint8_t)(*q - '0') < 10) sz = sz * 10 + (*q++ - '0');
		uint64_t key = (a << 8 | d) + 1;
		if (unmap) { dev[d].unmaps++; del(key, sz << 8 | dir); }
		else { dev[d].maps++; dev[d].bytes += sz; put(key, sz << 8 | dir); }
		ev++;
		p = memchr(q, '\n', end - q); p = p ? p + 1 : end;
	}
	return ev;
}
int main(int argc, char **argv)
{
	if (argc < 2) return 2;
	int fd = open(argv[1], O_RDONLY);
	struct stat st;
	if (fd < 0 || fstat(fd, &st)) return 2;
	int runs = argc > 2 ? atoi(argv[2]) : 1;
	uint64_t events = 0;
	double best = 0;
	char *bytes = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	for (int r = 0; r < runs; r++) {
		memset(dev, 0, sizeof dev);
		ndev = lastdev = 0;
		live = bad = 0;
		mask = (1 << 14) - 1;
		free(tab);
		tab = calloc(mask + 1, sizeof *tab);
		double begun = timing_now();
		events = run(bytes, st.st_size);
		double took = timing_now() - begun;
		if (r == 0 || took < best) best = took;
	}
	printf("%lu events, %lu left, %lu odd, %.4f ns an event\n", events, live, bad, best / (double)events);
}
