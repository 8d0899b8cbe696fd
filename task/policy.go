package task

import (
	"time"

	"github.com/go-arbiter/arbiter/internal/base/backoff"
)

// Backoff returns how long a task waits before a retry, after an attempt failed with err. The
// number of the retry is 1 for the first. A negative duration counts as 0.
type Backoff func(retry int, err error) time.Duration

// The retry policy of a task that has none of its own, on a minion without the option Retry. With
// it a task survives an outage of an hour, and has failed for good after three hours at most, plus
// the time of its attempts; see [Exponential].
const (
	DefaultMaxRetries  = 25               // retries, after the first attempt
	DefaultBackoffBase = time.Second      // the pause before the first retry
	DefaultBackoffCap  = 10 * time.Minute // the longest pause
)

// Exponential returns exponential backoff with equal jitter. The pause before the first retry is
// base. It doubles before each further retry, up to limit. The task waits for a random part of the
// pause, between half and all of it, so that tasks which failed together do not retry together. A
// base that is not positive counts as [DefaultBackoffBase], and such a limit as
// [DefaultBackoffCap].
//
// The table shows how long a task is retried with Exponential(1 s, 10 min), the default: the time
// until its last attempt begins, without the time that the attempts take.
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
// A caller that wants an answer sooner has three ways: it limits the wait with the context of
// Result, which does not end the task; it limits the task with [Within] or [Deadline]; or it sets
// a small number of [Retries]. A handler whose error will occur again returns it in [NoRetry].
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

// Constant returns a backoff that waits d before each retry.
func Constant(d time.Duration) Backoff {
	return func(int, error) time.Duration { return d }
}
