/* Latencies in nanoseconds, as counts in buckets that are 1/64 of their value wide. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

enum { STEPS = 64, BUCKETS = 64 * STEPS };

struct histogram {
  long long counts[BUCKETS], total, longest;
};

void clear(struct histogram *h);
void record(struct histogram *h, long long nanoseconds);
double microseconds(const struct histogram *h, double share); /* the value that this share is below */
void print_percentiles(const struct histogram *h);            /* "p50_us": ..., without braces */
#endif
