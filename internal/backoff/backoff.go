// Package backoff says how long to wait before something is tried again.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Delay returns the time to wait before a repetition: base before the first
// (try 0), doubled each time, at most limit, and of that a random part between
// half and all, so that those who failed together do not return together.
func Delay(try int, base, limit time.Duration) time.Duration {
	d := limit
	if try < 30 && base <= limit>>try {
		d = base << try
	}
	return d/2 + rand.N(d/2+1)
}

// Sleep waits for d and reports whether it did: false says that ctx ended.
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
