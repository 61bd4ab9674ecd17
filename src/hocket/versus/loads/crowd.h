/* A load in as many processes as its open files ask for, which count in memory that they share.
 *
 * All run the same program. The leader is the one that was started, and the only one that hears of stdin and prints; the
 * others have the leader in place of stdin: it ends when the leader says so. Whoever fails ends them all.
 */
#ifndef CROWD_H
#define CROWD_H
#include <stdatomic.h>
#include <stddef.h>

extern int total, first, count; /* clients of all; the number of the first of this process, and how many it has */
extern int leads, processes;

/* Memory that all see, zeros; to be asked for before they part. */
void *shared(size_t size);
/* Part the clients: so many files each, and `together` of them always in one process. */
void part(int files, int together);

/* What is counted over all processes. */
struct tally {
  atomic_int reached;
  int goal;
};
void count_up(struct tally *t);
/* In the leader: until the goal is reached. Fails when nobody gets any further for STALL. */
void await(struct tally *t, void (*turn)(void));

void pass_on(const char *line, size_t size); /* from the leader to the stdin of the others */
void dismiss(void); /* the leader lets the others come to their end */
int ended_well(void); /* the exit status, when all have come to it */
#endif
