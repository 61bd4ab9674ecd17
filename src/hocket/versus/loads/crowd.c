#define _GNU_SOURCE
#include "crowd.h"
#include "net.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SPARE_FILES = 100, MOST = 128 };

int total, first, count, leads = 1, processes = 1;
static int others, bell, leashes[MOST];
static atomic_int *done;

void *shared(size_t size) {
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  need(memory != MAP_FAILED, "memory");
  return memory;
}

static void on_child(int signal) {
  int status;
  (void)signal;
  while (waitpid(-1, &status, WNOHANG) > 0) {
    if (status) _exit(1); /* it has said why */
    others--;
  }
}

/* The child's side of a fork. */
static void follow(pid_t leader, int number, int leash) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != leader) _exit(1);
  leads = 0;
  dup2(leash, STDIN_FILENO);
  for (int other = 1; other <= number; other++) close(leashes[other]);
}

static void start_other(int number) {
  pid_t leader = getpid();
  int ends[2];
  need(!pipe(ends), "pipe");
  leashes[number] = ends[1];
  pid_t child = fork();
  need(child >= 0, "fork");
  if (child) others++;
  else follow(leader, number, ends[0]);
  close(ends[0]);
}

void part(int files, int together) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  int most = ((int)limit.rlim_cur - SPARE_FILES) / files / together * together;
  if (most <= 0) fail("may open no more than %d files", (int)limit.rlim_cur);
  processes = (total + most - 1) / most;
  if (processes > MOST) fail("would be %d processes", processes);
  int share = ((total + processes - 1) / processes + together - 1) / together * together;
  done = shared(sizeof *done);
  need((bell = eventfd(0, EFD_NONBLOCK)) >= 0, "eventfd");
  signal(SIGCHLD, on_child);
  for (int number = 1; number < processes && leads; number++) {
    first = number * share;
    start_other(number);
  }
  if (leads) first = 0, watch_bell(bell);
  count = total - first < share ? total - first : share;
}

void count_up(struct tally *t) {
  if (atomic_fetch_add(&t->reached, 1) + 1 == t->goal && !leads) eventfd_write(bell, 1);
}

void await(struct tally *t, void (*turn)(void)) {
  for (int seen = -1; t->reached < t->goal;) {
    if (t->reached != seen) progress = now();
    seen = t->reached;
    turn();
  }
}

void pass_on(const char *line, size_t size) {
  for (int number = 1; number < processes && leads; number++)
    need(write(leashes[number], line, size) == (ssize_t)size, "write to the other processes");
}

void dismiss(void) {
  for (int number = 1; number < processes && leads; number++) close(leashes[number]);
}

int ended_well(void) {
  atomic_fetch_add(done, 1);
  while (*done < processes) usleep(1000); /* what a server does when the first clients go concerns nobody */
  while (leads && others) usleep(1000);
  return 0;
}
