package memory

import (
	"sync"
	"sync/atomic"
	"time"
)

// alarm calls ring, in a goroutine of its own, when the earliest of the times it was set to
// has come. It then forgets all of them, and ring sets it again. Ring may find nothing to
// do, because a time can't be taken back.
//
// Set is called with the lock held that guards the data from which the time was read, and
// ring reads the data under the same lock. So either ring sees the new data, or set sees
// that the alarm is off and turns it on.
type alarm struct {
	clock *clock
	ring  func()

	at atomic.Int64 // the instant that it is set to

	mu    sync.Mutex // the innermost lock of the package
	timer *time.Timer
	ended bool
}

func (a *alarm) init(c *clock, ring func()) {
	a.clock, a.ring = c, ring
	a.at.Store(int64(never))
}

// due reports whether the alarm's time has come.
func (a *alarm) due(now instant) bool { return a.at.Load() <= int64(now) }

// set lets the alarm ring at an instant, unless it is set to an earlier one.
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

// clear turns the alarm off. The caller does the work of ring itself.
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
