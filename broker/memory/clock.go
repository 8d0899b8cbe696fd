package memory

import (
	"math"
	"time"
)

// instant is a time by the broker's clock: nanoseconds since the broker was made. It
// follows the monotonic clock, so it does not jump if the wall clock is set.
type instant int64

// never is later than every other instant.
const never instant = math.MaxInt64

// plus returns the instant that is d later.
func (t instant) plus(d time.Duration) instant { return t + instant(d) }

type clock struct{ start time.Time }

func (c *clock) now() instant { return instant(time.Since(c.start)) }

// wall returns the wall-clock time of an instant, for display.
func (c *clock) wall(t instant) time.Time {
	return c.start.Round(0).Add(time.Duration(t))
}
