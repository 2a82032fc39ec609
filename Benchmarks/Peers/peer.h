/* The command line of every peer, the same as that of Workloads:
 *
 *   PROGRAM list                 the names of its cases
 *   PROGRAM CASE OPERATIONS      runs the case once to warm up, then at least that many operations;
 *                                prints CPU nanoseconds for one, or for "two-threads" cases the
 *                                mean over both threads; exit status 3 when they never ran at once
 */
#ifndef SWIFT_DMA_PEER_H
#define SWIFT_DMA_PEER_H
#include "timing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct peer_case {
	const char *name;
	/* Operations of the smallest run; the count is rounded up to a multiple. */
	long unit;
	void (*begin)(int argument);
	void (*run)(long count);
	/* Not NULL: the case runs on two threads at once. */
	void (*run_on_thread)(void *context, int thread, long count);
	int argument;
};

static inline int peer_main(int argc, char **argv, const struct peer_case *cases, size_t count)
{
	if (argc == 2 && strcmp(argv[1], "list") == 0) {
		for (size_t i = 0; i < count; i++) puts(cases[i].name);
		return 0;
	}
	for (size_t i = 0; argc == 3 && i < count; i++) {
		const struct peer_case *it = &cases[i];
		if (strcmp(it->name, argv[1])) continue;
		long operations = atol(argv[2]), unit = it->unit ? it->unit : 1;
		operations = (operations + unit - 1) / unit * unit;
		it->begin(it->argument);
		if (it->run_on_thread) {
			double busy, nanoseconds = 0;
			/* A sample counts only when both threads were really running. */
			for (int attempt = 0; attempt < 20; attempt++) {
				nanoseconds = timing_two_threads(it->run_on_thread, NULL, operations, &busy);
				if (busy <= 0.9) continue;
				printf("%.4f\n", nanoseconds);
				return 0;
			}
			fprintf(stderr, "the machine is busy: two threads never ran at once\n");
			return 3;
		}
		it->run(unit);
		double begun = timing_now();
		it->run(operations);
		printf("%.4f\n", (timing_now() - begun) / (double)operations);
		return 0;
	}
	fprintf(stderr, "usage: %s list | CASE OPERATIONS\n", argv[0]);
	return 2;
}
#endif
