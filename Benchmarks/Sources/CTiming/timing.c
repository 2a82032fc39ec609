#define _GNU_SOURCE
#include "timing.h"
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

void timing_print_lines_at_once(void) { setvbuf(stdout, NULL, _IOLBF, 0); }

struct half {
	void (*body)(void *, int, long);
	void *context;
	pthread_barrier_t *barrier;
	int thread;
	long count;
	double nanoseconds, busy;
};

static void *run(void *argument)
{
	struct half *half = argument;
	cpu_set_t cores;
	CPU_ZERO(&cores);
	CPU_SET(half->thread, &cores);
	pthread_setaffinity_np(pthread_self(), sizeof cores, &cores);
	half->body(half->context, half->thread, half->count / 100 + 1);
	pthread_barrier_wait(half->barrier);
	double wall_begun = timing_wall(), begun = timing_now();
	half->body(half->context, half->thread, half->count);
	half->nanoseconds = timing_now() - begun;
	half->busy = half->nanoseconds / (timing_wall() - wall_begun);
	return NULL;
}

double timing_two_threads(void (*body)(void *, int, long), void *context, long count, double *busy)
{
	pthread_barrier_t barrier;
	pthread_t ids[2];
	struct half halves[2];
	double sum = 0;
	pthread_barrier_init(&barrier, NULL, 2);
	*busy = 1;
	for (int i = 0; i < 2; i++) {
		halves[i] = (struct half){body, context, &barrier, i, count, 0, 0};
		if (pthread_create(&ids[i], NULL, run, &halves[i])) abort();
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(ids[i], NULL);
		sum += halves[i].nanoseconds / (double)count / 2;
		if (halves[i].busy < *busy) *busy = halves[i].busy;
	}
	pthread_barrier_destroy(&barrier);
	return sum;
}
