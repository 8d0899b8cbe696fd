package minion

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"time"
)

// A process that is short of processor time handles replies late. Seen from inside, the
// broker then seems to be slow or unreachable. So a minion measures how long one of its
// own goroutines waits until it is scheduled. Where it would log that the broker is the
// problem, and this delay is long, it names the delay instead.

// ownDelay measures how long goroutines of this process wait until they are scheduled.
// The zero value is ready.
type ownDelay struct {
	began atomic.Pointer[time.Time] // start of the measurement that runs; nil if none does
	last  atomic.Int64              // the longest recent delay in ns; halved with each measurement
	much  atomic.Int64              // the delay from which on it is named, in ns
	told  atomic.Bool               // the delay was logged, and has not been short since
}

// measure begins a measurement, unless one runs.
func (d *ownDelay) measure() {
	began := time.Now()
	if !d.began.CompareAndSwap(nil, &began) {
		return
	}
	go func() {
		// A new goroutine runs next. After this call it has waited behind all runnable
		// goroutines, as a goroutine does that a reply wakes.
		runtime.Gosched()
		d.last.Store(max(int64(time.Since(began)), d.last.Load()/2)) // single delays vary
		d.began.Store(nil)
	}()
}

// watch measures repeatedly while an answer is awaited, until over is closed: a single
// measurement may be short by chance.
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

// longest returns the longest recent delay, or how long the running measurement has
// lasted, if that is more.
func (d *ownDelay) longest() time.Duration {
	longest := time.Duration(d.last.Load())
	if began := d.began.Load(); began != nil {
		longest = max(longest, time.Since(*began))
	}
	return longest.Round(time.Millisecond)
}

// blamed returns the delay, and reports whether it is long enough to explain late replies.
func (d *ownDelay) blamed() (delay time.Duration, is bool) {
	delay = d.longest()
	much := time.Duration(d.much.Load())
	return delay, much > 0 && delay >= much
}

// tell logs a long delay, once until it is short again.
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
