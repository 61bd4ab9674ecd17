/* Many threads that wait, with the stacks that pthread gives them. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *wait_forever(void *unused) {
  pause();
  return unused;
}

int main(int argc, char **argv) {
  int count = argc > 1 ? atoi(argv[1]) : 0, made = 0;
  pthread_t thread;
  while (made < count && !pthread_create(&thread, NULL, wait_forever, NULL)) made++;
  printf("%d wait\n", made);
  fflush(stdout);
  getchar();
  return 0;
}
