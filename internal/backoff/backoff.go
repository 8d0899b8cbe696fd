// Package backoff says how long to wait before something is tried again.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Delay returns the time to wait before a repetition: [Most] of it, and of that a
// random part between half and all, so that those who failed together do not
// return together, and none returns at once.
func Delay(try int, base, limit time.Duration) time.Duration {
	d := Most(try, base, limit)
	return d/2 + rand.N(d-d/2+1)
}

// Most returns the longest Delay: base before the first repetition (try 0),
// doubled each time, at most limit.
func Most(try int, base, limit time.Duration) time.Duration {
	// Shifting by more than 62 bits, or past limit, would overflow.
	if try < 62 && base <= limit>>try {
		return base << try
	}
	return limit
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
