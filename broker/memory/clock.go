package memory

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// instant is a moment by the broker's clock: nanoseconds since it was made. It
// runs with the monotonic clock, so nobody who sets the wall clock moves it.
type instant int64

// never is later than every moment.
const never instant = math.MaxInt64

// plus returns the instant d later.
func (t instant) plus(d time.Duration) instant { return t + instant(d) }

type clock struct{ start time.Time }

func (c *clock) now() instant { return instant(time.Since(c.start)) }

// wall returns the time of an instant, for people to read.
func (c *clock) wall(t instant) time.Time {
	return c.start.Round(0).Add(time.Duration(t))
}

// alarm runs ring, in a goroutine of its own, once the earliest of the times it
// was set to has come, and forgets all of them then: ring sets it anew. Ring
// may find nothing to do, since a time can't be taken back.
//
// It is set with the lock held that guards what the time was read from, and
// ring reads that under the same lock. So either ring sees what was added, or
// set sees that the alarm is off and turns it on.
type alarm struct {
	clock *clock
	ring  func()

	at atomic.Int64 // the instant it is set to

	mu    sync.Mutex // the innermost lock of the package
	timer *time.Timer
	ended bool
}

func (a *alarm) init(c *clock, ring func()) {
	a.clock, a.ring = c, ring
	a.at.Store(int64(never))
}

// due reports whether the alarm rings, or is about to.
func (a *alarm) due(now instant) bool { return a.at.Load() <= int64(now) }

// set lets the alarm ring at an instant, or earlier if it was set to that.
func (a *alarm) set(at instant) {
	if int64(at) >= a.at.Load() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended || int64(at) >= a.at.Load() {
		return
	}
	a.at.Store(int64(at))
	d := time.Duration(max(at-a.clock.now(), 0))
	if a.timer == nil {
		a.timer = time.AfterFunc(d, a.fire)
	} else {
		a.timer.Reset(d)
	}
}

// clear forgets what the alarm was set to. Whoever calls it does what ring does.
func (a *alarm) clear() {
	a.mu.Lock()
	a.at.Store(int64(never))
	a.mu.Unlock()
}

func (a *alarm) fire() {
	a.mu.Lock()
	a.at.Store(int64(never))
	ended := a.ended
	a.mu.Unlock()
	if !ended {
		a.ring()
	}
}

// end stops the alarm for good.
func (a *alarm) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	if a.timer != nil {
		a.timer.Stop()
	}
}
