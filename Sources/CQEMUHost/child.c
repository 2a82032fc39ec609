// SPDX-License-Identifier: Apache-2.0
//
// A child that dies with its parent. The kernel sends the signal that PR_SET_PDEATHSIG names when
// the *thread* that forked ends, not only when the process does. So each child has a thread of its
// own that forks it, drains what it prints, reaps it, and lives exactly as long as it.

#define _GNU_SOURCE
#include "qemu_host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
  first_given = 3,
  // Above any descriptor that is handed over: where they are parked while being put in place.
  parking = 64,
  diagnostics_size = 16384,
};

struct qemu_host_child {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  // The keeper thread and the owner.
  int references;
  pid_t process;
  bool started;
  int start_error;
  bool ended;
  int status;
  // The last bytes of standard output and error, as a ring.
  size_t written;
  char diagnostics[diagnostics_size];
};

// What the keeper thread needs until the child has started.
struct launch {
  struct qemu_host_child *child;
  const char *path;
  char *const *arguments;
  const int *descriptors;
  size_t count;
};

static void drop_reference(struct qemu_host_child *child) {
  pthread_mutex_lock(&child->lock);
  bool last = --child->references == 0;
  pthread_mutex_unlock(&child->lock);
  if (!last) return;
  pthread_cond_destroy(&child->changed);
  pthread_mutex_destroy(&child->lock);
  free(child);
}

// In the forked child: only async-signal-safe calls. Never returns.
static void become(const struct launch *launch, pid_t parent, int report, int diagnostics) {
  int code;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) goto failed;
  // The parent may have died before the line above took effect.
  if (getppid() != parent) _exit(127);
  setpgid(0, 0);
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);

  // Out of the way first: a descriptor to hand over may sit at the number of another.
  report = fcntl(report, F_DUPFD_CLOEXEC, parking);
  diagnostics = fcntl(diagnostics, F_DUPFD_CLOEXEC, parking);
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (report < 0) _exit(127);
  if (diagnostics < 0 || nothing < 0) goto failed;
  int parked[parking - first_given];
  for (size_t i = 0; i < launch->count; i++) {
    parked[i] = fcntl(launch->descriptors[i], F_DUPFD_CLOEXEC, parking);
    if (parked[i] < 0) goto failed;
  }
  if (dup2(nothing, 0) < 0 || dup2(diagnostics, 1) < 0 || dup2(diagnostics, 2) < 0) goto failed;
  for (size_t i = 0; i < launch->count; i++) {
    if (dup2(parked[i], first_given + (int)i) < 0) goto failed;
  }
  // Descriptors of the host program that are not close-on-exec are not the child's business.
  unsigned first_other = first_given + (unsigned)launch->count;
#ifdef SYS_close_range
  const unsigned close_on_exec = 4;
  if (syscall(SYS_close_range, first_other, ~0U, close_on_exec) != 0)
#endif
  {
    // Kernels before 5.11: what a process has by default.
    for (int number = (int)first_other; number < 1024; number++) fcntl(number, F_SETFD, FD_CLOEXEC);
  }
  execv(launch->path, launch->arguments);

failed:
  code = errno;
  (void)!write(report, &code, sizeof code);
  _exit(127);
}

static void announce_start(struct qemu_host_child *child, pid_t process, int error) {
  pthread_mutex_lock(&child->lock);
  child->process = process;
  child->start_error = error;
  child->started = true;
  pthread_cond_broadcast(&child->changed);
  pthread_mutex_unlock(&child->lock);
}

// Reads what there is; false at the end of the pipe.
static bool drain(struct qemu_host_child *child, int diagnostics) {
  char text[1024];
  ssize_t count = read(diagnostics, text, sizeof text);
  if (count == 0) return false;
  if (count < 0) return errno == EINTR || errno == EAGAIN;
  pthread_mutex_lock(&child->lock);
  for (ssize_t i = 0; i < count; i++) {
    child->diagnostics[child->written++ % diagnostics_size] = text[i];
  }
  pthread_mutex_unlock(&child->lock);
  return true;
}

// Drains standard error until the child has ended; the child may close it long before.
static void watch(struct qemu_host_child *child, pid_t process, int diagnostics) {
  int handle = -1;
#ifdef SYS_pidfd_open
  handle = (int)syscall(SYS_pidfd_open, process, 0);
#endif
  bool is_open = true;
  for (;;) {
    struct pollfd events[2] = {
        {.fd = is_open ? diagnostics : -1, .events = POLLIN},
        {.fd = handle, .events = POLLIN},
    };
    // Kernels before 5.3 have no descriptor for a process.
    poll(events, 2, handle < 0 ? 20 : -1);
    if (is_open && events[0].revents != 0) {
      is_open = drain(child, diagnostics);
      continue;
    }
    siginfo_t info = {0};
    int result = waitid(P_PID, (id_t)process, &info, WEXITED | WNOHANG | WNOWAIT);
    if (result == 0 && info.si_pid == process) break;
    // Somebody else reaped it, or the host program ignores SIGCHLD: it is gone all the same.
    if (result != 0 && errno == ECHILD) break;
  }
  // What it wrote last.
  fcntl(diagnostics, F_SETFL, O_NONBLOCK);
  for (int i = 0; is_open && i < 1024; i++) {
    struct pollfd event = {.fd = diagnostics, .events = POLLIN};
    if (poll(&event, 1, 0) <= 0) break;
    is_open = drain(child, diagnostics);
  }
  if (handle >= 0) close(handle);
}

static void *keep(void *argument) {
  const struct launch launch = *(const struct launch *)argument;
  struct qemu_host_child *child = launch.child;
  int report[2] = {-1, -1};
  int diagnostics[2] = {-1, -1};
  pid_t process = -1;
  int error = 0;
  if (pipe2(report, O_CLOEXEC) != 0 || pipe2(diagnostics, O_CLOEXEC) != 0) error = errno;
  if (error == 0) {
    pid_t parent = getpid();
    process = fork();
    if (process == 0) become(&launch, parent, report[1], diagnostics[1]);
    if (process < 0) error = errno;
  }
  if (report[1] >= 0) close(report[1]);
  if (diagnostics[1] >= 0) close(diagnostics[1]);
  if (process > 0) {
    // Closed without a word by a successful exec.
    ssize_t count;
    do {
      count = read(report[0], &error, sizeof error);
    } while (count < 0 && errno == EINTR);
    if (count != sizeof error) error = 0;
  }
  if (report[0] >= 0) close(report[0]);
  // From here on `launch` points to memory that may be gone.
  announce_start(child, process, error);
  if (process > 0) {
    watch(child, process, diagnostics[0]);
    // Under the lock, so that no signal goes to a number that is somebody else's by now.
    pthread_mutex_lock(&child->lock);
    int status = 0;
    pid_t reaped = waitpid(process, &status, 0);
    child->status = reaped == process ? status : -1;
    child->ended = true;
    pthread_cond_broadcast(&child->changed);
    pthread_mutex_unlock(&child->lock);
  }
  if (diagnostics[0] >= 0) close(diagnostics[0]);
  drop_reference(child);
  return NULL;
}

static struct qemu_host_child *make_child(void) {
  struct qemu_host_child *child = calloc(1, sizeof *child);
  if (child == NULL) return NULL;
  child->references = 2;
  child->process = -1;
  pthread_mutex_init(&child->lock, NULL);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&child->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  return child;
}

// The keeper takes no signals: they are the host program's.
static int start_keeper(struct launch *launch) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  int error = pthread_create(&thread, &attributes, keep, launch);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return error;
}

int qemu_host_spawn(const char *path, char *const *arguments, const int *descriptors, size_t count,
                    struct qemu_host_child **result) {
  if (count > parking - first_given) return EINVAL;
  struct qemu_host_child *child = make_child();
  if (child == NULL) return ENOMEM;
  struct launch launch = {child, path, arguments, descriptors, count};
  int error = start_keeper(&launch);
  if (error != 0) {
    child->references = 1;
    drop_reference(child);
    return error;
  }
  pthread_mutex_lock(&child->lock);
  while (!child->started) pthread_cond_wait(&child->changed, &child->lock);
  error = child->start_error;
  pthread_mutex_unlock(&child->lock);
  if (error != 0) {
    drop_reference(child);
    return error;
  }
  *result = child;
  return 0;
}

int qemu_host_process_id(const struct qemu_host_child *child) { return child->process; }

void qemu_host_signal(struct qemu_host_child *child, int number) {
  pthread_mutex_lock(&child->lock);
  if (!child->ended) kill(child->process, number);
  pthread_mutex_unlock(&child->lock);
}

int qemu_host_wait(struct qemu_host_child *child, int milliseconds, int *status) {
  struct timespec deadline;
  clock_gettime(CLOCK_MONOTONIC, &deadline);
  deadline.tv_sec += milliseconds / 1000;
  deadline.tv_nsec += (long)(milliseconds % 1000) * 1000000;
  if (deadline.tv_nsec >= 1000000000) {
    deadline.tv_sec += 1;
    deadline.tv_nsec -= 1000000000;
  }
  pthread_mutex_lock(&child->lock);
  int result = 0;
  while (!child->ended && result == 0) {
    result = pthread_cond_timedwait(&child->changed, &child->lock, &deadline);
  }
  int ended = child->ended ? 1 : 0;
  *status = child->status;
  pthread_mutex_unlock(&child->lock);
  return ended;
}

size_t qemu_host_diagnostics(struct qemu_host_child *child, char *text, size_t size) {
  pthread_mutex_lock(&child->lock);
  size_t kept = child->written < diagnostics_size ? child->written : diagnostics_size;
  size_t count = kept < size ? kept : size;
  for (size_t i = 0; i < count; i++) {
    text[i] = child->diagnostics[(child->written - count + i) % diagnostics_size];
  }
  pthread_mutex_unlock(&child->lock);
  return count;
}

void qemu_host_release(struct qemu_host_child *child) { drop_reference(child); }
