package main

import (
	"slices"
	"time"
)

// summary is the median, minimum and maximum of the runs of a row.
type summary struct {
	median, min, max float64
}

// summarize needs at least one value.
func summarize(values []float64) summary {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return summary{median: (v[(n-1)/2] + v[n/2]) / 2, min: v[0], max: v[n-1]}
}

// percentile returns the smallest value that p percent of the values do not exceed (nearest rank),
// in ms. It sorts the values.
func percentile(took []time.Duration, p int) float64 {
	slices.Sort(took)
	rank := (len(took)*p + 99) / 100
	return float64(took[max(rank, 1)-1]) / float64(time.Millisecond)
}
