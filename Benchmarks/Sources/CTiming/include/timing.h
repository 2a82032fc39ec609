/* What every measured program shares, ours and the peers': the clock, a random order, two threads
 * at once, and the form of the command line. */
#ifndef SWIFT_DMA_TIMING_H
#define SWIFT_DMA_TIMING_H
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* CPU time of this thread, nanoseconds: what other processes take of the core is not counted. */
static inline double timing_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Nanoseconds of real time. */
static inline double timing_wall(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The optimiser must believe that the pointer, and all of memory, is used here. */
static inline void timing_keep(const void *pointer) { __asm__ volatile("" : : "g"(pointer) : "memory"); }

/* xorshift: the same order in every program that starts with the same seed. */
static inline uint64_t timing_random(uint64_t *state)
{
	uint64_t x = *state;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

/* The numbers from 0, shuffled. */
static inline void timing_shuffle(uint32_t *order, size_t count, uint64_t seed)
{
	for (size_t i = 0; i < count; i++) order[i] = (uint32_t)i;
	for (size_t i = count; i > 1; i--) {
		size_t j = timing_random(&seed) % i;
		uint32_t swapped = order[i - 1];
		order[i - 1] = order[j];
		order[j] = swapped;
	}
}

/* Each line of standard output is written when it ends, even into a pipe. */
void timing_print_lines_at_once(void);

/* Runs `body(context, thread, count)` on two threads, each on a core of its own, after a short
 * warm-up. Returns CPU nanoseconds for one operation of one thread, the mean of both; `busy` is the
 * least share of the time that either was really running. */
double timing_two_threads(void (*body)(void *, int, long), void *context, long count, double *busy);
#endif
