// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE

#include "simulated_host.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

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

enum { nanoseconds_per_second = 1000000000 };

uint64_t simulated_host_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * nanoseconds_per_second + (uint64_t)now.tv_nsec;
}

struct signal {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int is_notified;
};

void *simulated_host_signal_create(void) {
  struct signal *made = calloc(1, sizeof *made);
  if (made == NULL) return NULL;
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_mutex_init(&made->lock, NULL);
  pthread_cond_init(&made->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  return made;
}

void simulated_host_signal_destroy(void *signal) {
  struct signal *old = signal;
  pthread_cond_destroy(&old->changed);
  pthread_mutex_destroy(&old->lock);
  free(old);
}

void simulated_host_signal_notify(void *signal) {
  struct signal *here = signal;
  pthread_mutex_lock(&here->lock);
  here->is_notified = 1;
  pthread_cond_signal(&here->changed);
  pthread_mutex_unlock(&here->lock);
}

void simulated_host_signal_wait(void *signal, uint64_t nanoseconds) {
  struct signal *here = signal;
  uint64_t end = simulated_host_nanoseconds() + nanoseconds;
  struct timespec until = {
      .tv_sec = (time_t)(end / nanoseconds_per_second),
      .tv_nsec = (long)(end % nanoseconds_per_second),
  };
  pthread_mutex_lock(&here->lock);
  int status = 0;
  while (!here->is_notified && status == 0) {
    status = pthread_cond_timedwait(&here->changed, &here->lock, &until);
  }
  here->is_notified = 0;
  pthread_mutex_unlock(&here->lock);
}

struct thread {
  pthread_t thread;
  void (*body)(void *context);
  void *context;
};

static void *run(void *argument) {
  struct thread *self = argument;
  self->body(self->context);
  return NULL;
}

void *simulated_host_thread_start(void (*body)(void *context), void *context) {
  struct thread *made = malloc(sizeof *made);
  if (made == NULL) return NULL;
  made->body = body;
  made->context = context;
  if (pthread_create(&made->thread, NULL, run, made) != 0) {
    free(made);
    return NULL;
  }
  return made;
}

void simulated_host_thread_join(void *thread) {
  struct thread *old = thread;
  if (pthread_equal(old->thread, pthread_self())) {
    pthread_detach(old->thread);
  } else {
    pthread_join(old->thread, NULL);
  }
  free(old);
}
