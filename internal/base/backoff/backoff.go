// Package backoff computes the pauses before repetitions.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Delay returns the pause before a repetition: a random part of [Most], between half and all of
// it. So callers that failed together do not repeat together, and none repeats at once.
func Delay(try int, base, limit time.Duration) time.Duration {
	d := Most(try, base, limit)
	return d/2 + rand.N(d-d/2+1)
}

// Most returns the longest Delay: base before the first repetition (try 0), doubled with each
// further one, at most limit.
func Most(try int, base, limit time.Duration) time.Duration {
	// Shifting by more than 62 bits, or past limit, would overflow.
	if try < 62 && base <= limit>>try {
		return base << try
	}
	return limit
}

// Sleep waits for d. It returns false if ctx ended first.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
