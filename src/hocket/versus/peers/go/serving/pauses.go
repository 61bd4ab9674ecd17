package serving

import (
	"fmt"
	"net/http"
	"runtime/debug"
)

// Pauses tells the longest of the last 256 times for which the collector stopped everything, in milliseconds.
func Pauses(w http.ResponseWriter, r *http.Request) {
	var stats debug.GCStats
	debug.ReadGCStats(&stats)
	longest := 0.0
	for _, pause := range stats.Pause {
		longest = max(longest, float64(pause.Microseconds())/1e3)
	}
	fmt.Fprintf(w, `{"collections": %d, "max_ms": %f}`, stats.NumGC, longest)
}
