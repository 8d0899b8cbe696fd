package task

import (
	"math/rand/v2"
	"time"
)

// Backoff says how long a task waits after its attempt failed with err. Retry
// is 1 for the first retry. What is negative counts as 0.
type Backoff func(retry int, err error) time.Duration

// The policy of a task that has none, on a minion that has none.
const (
	DefaultMaxRetries  = 3
	DefaultBackoffBase = time.Second
	DefaultBackoffCap  = 10 * time.Minute
)

// Exponential is exponential backoff with full jitter: before the n-th retry a
// random time between 0 and base·2ⁿ⁻¹, and never more than limit, as in
// "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015). A base that is
// not positive is [DefaultBackoffBase], such a limit [DefaultBackoffCap].
func Exponential(base, limit time.Duration) Backoff {
	if base <= 0 {
		base = DefaultBackoffBase
	}
	if limit <= 0 {
		limit = DefaultBackoffCap
	}
	return func(retry int, _ error) time.Duration {
		most := limit
		// Shifting by more than 62 bits, or past limit, would overflow.
		if shift := max(retry-1, 0); shift < 62 && base <= limit>>shift {
			most = base << shift
		}
		return rand.N(most + 1)
	}
}

// Constant waits d before each retry.
func Constant(d time.Duration) Backoff {
	return func(int, error) time.Duration { return d }
}
