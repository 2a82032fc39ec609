// SPDX-License-Identifier: Apache-2.0

#include "simulated_host.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

void *simulated_host_lock_create(void) {
  pthread_mutex_t *lock = malloc(sizeof *lock);
  if (lock != NULL && pthread_mutex_init(lock, NULL) != 0) {
    free(lock);
    return NULL;
  }
  return lock;
}

void simulated_host_lock_destroy(void *lock) {
  pthread_mutex_destroy(lock);
  free(lock);
}

void simulated_host_lock(void *lock) { pthread_mutex_lock(lock); }
void simulated_host_unlock(void *lock) { pthread_mutex_unlock(lock); }

void simulated_host_yield(void) { sched_yield(); }
