#include "histogram.h"
#include <stdio.h>
#include <string.h>

static int bucket(long long value) {
  if (value < STEPS) return value < 0 ? 0 : value;
  int shift = 63 - __builtin_clzll(value) - 6;
  return (shift + 1) * STEPS + (int)((value >> shift) - STEPS);
}

static long long bucket_value(int at) {
  int shift = at / STEPS - 1;
  return shift < 0 ? at : ((long long)(at % STEPS + STEPS) << shift);
}

void clear(struct histogram *h) { memset(h, 0, sizeof *h); }

void record(struct histogram *h, long long nanoseconds) {
  h->counts[bucket(nanoseconds)]++;
  h->total++;
  if (nanoseconds > h->longest) h->longest = nanoseconds;
}

double microseconds(const struct histogram *h, double share) {
  long long wanted = h->total * share, seen = 0;
  for (int at = 0; at < BUCKETS; at++)
    if ((seen += h->counts[at]) > wanted) return bucket_value(at) / 1e3;
  return h->longest / 1e3;
}

void print_percentiles(const struct histogram *h) {
  printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f",
    microseconds(h, 0.5), microseconds(h, 0.99), microseconds(h, 0.999), h->longest / 1e3);
}
