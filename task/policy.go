package task

import (
	"time"

	"github.com/go-arbiter/arbiter/internal/backoff"
)

// Backoff says how long a task waits after its attempt failed with err. Retry
// is 1 for the first retry. A negative duration counts as 0.
type Backoff func(retry int, err error) time.Duration

// The policy of a task that has none, on a minion that has none. It survives an
// outage of an hour, and has given up after three; see [Exponential].
const (
	DefaultMaxRetries  = 25
	DefaultBackoffBase = time.Second
	DefaultBackoffCap  = 10 * time.Minute
)

// Exponential is exponential backoff with equal jitter: the pause before the
// first retry is base, doubled before each further one, and never more than limit.
// Of that a random part between half and all is waited, so that tasks which failed
// together do not return together, and none uses up its retries in a moment. A base
// that is not positive is [DefaultBackoffBase], such a limit [DefaultBackoffCap].
//
// This is how long a task is retried with Exponential(1 s, 10 min), the default,
// until its last attempt begins, without the time that its attempts take:
//
//	retries     least   average      most
//	      1     500ms     800ms        1s
//	      3      3.5s      5.3s        7s
//	      5     15.5s     23.3s       31s
//	     10     8m32s    12m47s     17m3s
//	     15    33m32s    50m17s    1h7m3s
//	     20    58m32s  1h27m47s   1h57m3s
//	     25  1h23m32s   2h5m17s   2h47m3s
//	     50  3h28m32s  5h12m47s   6h57m3s
//
// A caller that wants an answer sooner says so: by the context of Result, which
// ends the waiting and not the task; by [Within] or [Deadline], which end the task
// too; or by [Retries] of 0 or few. An error that no retry mends is [NoRetry].
func Exponential(base, limit time.Duration) Backoff {
	if base <= 0 {
		base = DefaultBackoffBase
	}
	if limit <= 0 {
		limit = DefaultBackoffCap
	}
	return func(retry int, _ error) time.Duration {
		return backoff.Delay(max(retry-1, 0), base, limit)
	}
}

// Constant waits d before each retry.
func Constant(d time.Duration) Backoff {
	return func(int, error) time.Duration { return d }
}
