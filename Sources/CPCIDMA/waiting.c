// SPDX-License-Identifier: Apache-2.0
//
// Waiting on the machine's time, and what happens meanwhile: timers and tasklets.

#include "dma_support.h"
#include "swiftdma_internal.h"
#include "pci_dma_kernel.h"

#define TICK_NANOSECONDS (1000000000u / HZ)

unsigned long swiftdma_jiffies(void) {
  return (unsigned long)(swiftdma_current_time() / TICK_NANOSECONDS);
}

static void wait_nanoseconds(uint64_t nanoseconds) {
  uint64_t begun = swiftdma_current_time();
  while (swiftdma_current_time() - begun < nanoseconds) swiftdma_relax();
}

void udelay(unsigned long microseconds) { wait_nanoseconds((uint64_t)microseconds * 1000); }
void mdelay(unsigned long milliseconds) { wait_nanoseconds((uint64_t)milliseconds * 1000000); }

// Calls that may sleep: in atomic context they are a bug of the driver's, and do not sleep.
static int may_sleep(const char *call) {
  if (!swiftdma_is_atomic()) return 1;
  swiftdma_misuse("sleep-in-atomic-context", call);
  return 0;
}

void schedule(void) {
  if (may_sleep("schedule")) swiftdma_relax();
}

long schedule_timeout(long ticks) {
  if (ticks > 0 && may_sleep("schedule_timeout")) {
    wait_nanoseconds((uint64_t)ticks * TICK_NANOSECONDS);
  }
  return 0;
}

void init_waitqueue_head(wait_queue_head_t *queue) { queue->wakeups = 0; }

void wake_up(wait_queue_head_t *queue) { __atomic_fetch_add(&queue->wakeups, 1, __ATOMIC_RELEASE); }

long swiftdma_sleep_on(wait_queue_head_t *queue, long ticks) {
  unsigned int seen = __atomic_load_n(&queue->wakeups, __ATOMIC_ACQUIRE);
  if (!may_sleep("sleep_on")) return 0;
  uint64_t begun = swiftdma_current_time();
  uint64_t limit = ticks < 0 ? UINT64_MAX : (uint64_t)ticks * TICK_NANOSECONDS;
  while (__atomic_load_n(&queue->wakeups, __ATOMIC_ACQUIRE) == seen) {
    uint64_t passed = swiftdma_current_time() - begun;
    if (passed >= limit) return 0;
    swiftdma_relax();
  }
  if (ticks < 0) return 0;
  uint64_t passed = swiftdma_current_time() - begun;
  return passed >= limit ? 1 : (long)((limit - passed) / TICK_NANOSECONDS) + 1;
}

void sema_init(struct semaphore *semaphore, int count) { semaphore->count = count; }

int down_trylock(struct semaphore *semaphore) {
  int count = __atomic_load_n(&semaphore->count, __ATOMIC_RELAXED);
  while (count > 0) {
    if (__atomic_compare_exchange_n(&semaphore->count, &count, count - 1, 0, __ATOMIC_ACQUIRE,
                                    __ATOMIC_RELAXED)) {
      return 0;
    }
  }
  return 1;
}

void down(struct semaphore *semaphore) {
  if (!may_sleep("down")) {
    (void)down_trylock(semaphore);
    return;
  }
  while (down_trylock(semaphore) != 0) swiftdma_relax();
}

int down_interruptible(struct semaphore *semaphore) {
  down(semaphore);
  return 0;
}

void up(struct semaphore *semaphore) { __atomic_fetch_add(&semaphore->count, 1, __ATOMIC_RELEASE); }

// MARK: Timers

static struct timer_list *timers;
static unsigned int timer_lock;

static void lock_timers(void) {
  while (__atomic_exchange_n(&timer_lock, 1, __ATOMIC_ACQUIRE) != 0) dma_cpu_relax();
}
static void unlock_timers(void) { __atomic_store_n(&timer_lock, 0, __ATOMIC_RELEASE); }

void init_timer(struct timer_list *timer) { timer->list.next = timer->list.prev = NULL; }

// `prev` says that it is in the list, `next` is the one after it.
int timer_pending(const struct timer_list *timer) { return timer->list.prev != NULL; }

int del_timer(struct timer_list *timer) {
  lock_timers();
  int was_pending = timer_pending(timer);
  if (was_pending) {
    struct timer_list **place = &timers;
    while (*place != NULL && *place != timer) place = (struct timer_list **)&(*place)->list.next;
    if (*place == timer) *place = (struct timer_list *)timer->list.next;
    timer->list.prev = timer->list.next = NULL;
  }
  unlock_timers();
  return was_pending;
}

void add_timer(struct timer_list *timer) {
  lock_timers();
  if (!timer_pending(timer)) {
    timer->list.next = (struct list_head *)timers;
    timer->list.prev = &timer->list;
    timers = timer;
  }
  unlock_timers();
}

int mod_timer(struct timer_list *timer, unsigned long expires) {
  int was_pending = del_timer(timer);
  timer->expires = expires;
  add_timer(timer);
  return was_pending;
}

void swiftdma_run_timers(unsigned long ticks) {
  for (;;) {
    if (__atomic_load_n(&timers, __ATOMIC_RELAXED) == NULL) return;
    lock_timers();
    struct timer_list *due = timers;
    while (due != NULL && time_before(ticks, due->expires)) {
      due = (struct timer_list *)due->list.next;
    }
    unlock_timers();
    if (due == NULL) return;
    if (!del_timer(due)) continue;
    dma_context_enter_interrupt();
    due->function(due->data);
    dma_context_leave_interrupt();
  }
}

void swiftdma_forget_timers(void) {
  while (timers != NULL) del_timer(timers);
}

// MARK: Tasklets

static struct tasklet_struct *tasklets;

void tasklet_init(struct tasklet_struct *tasklet, void (*function)(unsigned long data),
                  unsigned long data) {
  tasklet->next = NULL;
  tasklet->state = 0;
  tasklet->func = function;
  tasklet->data = data;
}

void tasklet_schedule(struct tasklet_struct *tasklet) {
  lock_timers();
  if (tasklet->state == 0) {
    tasklet->state = 1;
    struct tasklet_struct **place = &tasklets;
    while (*place != NULL) place = &(*place)->next;
    tasklet->next = NULL;
    *place = tasklet;
  }
  unlock_timers();
}

static struct tasklet_struct *next_tasklet(const struct tasklet_struct *wanted) {
  lock_timers();
  struct tasklet_struct **place = &tasklets;
  while (wanted != NULL && *place != NULL && *place != wanted) place = &(*place)->next;
  struct tasklet_struct *found = *place;
  if (found != NULL) {
    *place = found->next;
    found->next = NULL;
    found->state = 0;
  }
  unlock_timers();
  return found;
}

void tasklet_kill(struct tasklet_struct *tasklet) { (void)next_tasklet(tasklet); }

void swiftdma_run_tasklets(void) {
  if (__atomic_load_n(&tasklets, __ATOMIC_RELAXED) == NULL) return;
  // Those that schedule themselves again run the next time.
  for (int count = 0; count < 64; count++) {
    struct tasklet_struct *tasklet = next_tasklet(NULL);
    if (tasklet == NULL) return;
    dma_context_enter_interrupt();
    tasklet->func(tasklet->data);
    dma_context_leave_interrupt();
  }
}
