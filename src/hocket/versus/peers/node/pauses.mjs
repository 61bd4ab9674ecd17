// What the measurement asks of a program: how long the collector stopped it.
import { PerformanceObserver } from "node:perf_hooks";

let collections = 0;
let longest = 0;

new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    collections++;
    longest = Math.max(longest, entry.duration);
  }
}).observe({ entryTypes: ["gc"] });

/** How often the collector ran, and the longest it took. */
export const pauses = () => ({ collections, max_ms: longest });
