package minion

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"time"
)

// A process that is short of processor time hears replies late. From inside that looks
// as if the broker were slow or gone. So a minion measures how long a goroutine of its
// own waits for its turn, and names that delay where it would blame the broker.

// ownDelay measures how long goroutines of this process wait for their turn. The zero
// value is ready.
type ownDelay struct {
	began atomic.Pointer[time.Time] // of the measurement under way; nil if none is
	last  atomic.Int64              // what the last ones found, in ns: an older one counts half
	much  atomic.Int64              // from where on a delay is named, in ns
	told  atomic.Bool               // it was, and has not been short again
}

// measure begins a measurement, unless one is under way.
func (d *ownDelay) measure() {
	began := time.Now()
	if !d.began.CompareAndSwap(nil, &began) {
		return
	}
	go func() {
		// A new goroutine runs next. After this it has waited for its turn behind all
		// others, as one does that a reply wakes.
		runtime.Gosched()
		d.last.Store(max(int64(time.Since(began)), d.last.Load()/2)) // delays vary
		d.began.Store(nil)
	}()
}

// watch measures again and again while an answer is awaited, until over is closed: a
// single measurement may be lucky.
func (d *ownDelay) watch(next *time.Timer, every time.Duration, over <-chan struct{}) {
	for {
		select {
		case <-next.C:
			d.measure()
			next.Reset(every)
		case <-over:
			return
		}
	}
}

// longest returns what the last measurements found, or how long the one under way has
// lasted, if that is more.
func (d *ownDelay) longest() time.Duration {
	longest := time.Duration(d.last.Load())
	if began := d.began.Load(); began != nil {
		longest = max(longest, time.Since(*began))
	}
	return longest.Round(time.Millisecond)
}

// blamed returns the delay if it is long enough to be the reason of what comes late.
func (d *ownDelay) blamed() (delay time.Duration, is bool) {
	delay = d.longest()
	much := time.Duration(d.much.Load())
	return delay, much > 0 && delay >= much
}

// tell logs a delay that is long, once until it is short again.
func (d *ownDelay) tell(log logger) {
	delay, is := d.blamed()
	switch {
	case is && !d.told.Swap(true):
		log.warn("this process is short of processor time; lower the number of slots, or give it more processors",
			"delay", delay, "processors", runtime.GOMAXPROCS(0))
	case !is && delay < time.Duration(d.much.Load())/2:
		d.told.Store(false)
	}
}

// isLate reports whether an error says that an answer did not come in time.
func isLate(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
