package brokertest

import (
	"sync/atomic"
	"time"
)

// nap is how long who watches for stalls sleeps at a time.
const nap = 5 * time.Millisecond

// stall watches for how long the machine lets nothing here run: what comes late
// for that is not the broker's fault.
type stall struct {
	last  atomic.Int64 // when the watch was last awake, as Unix ns
	worst atomic.Int64 // the longest that it overslept, in ns
}

// watch measures until stop is closed.
func (s *stall) watch(stop <-chan struct{}) {
	for {
		s.last.Store(time.Now().UnixNano())
		select {
		case <-stop:
			return
		case <-time.After(nap):
		}
		s.worst.Store(int64(s.longest()))
	}
}

// longest returns how long the longest stall was, or is. It is 0 if nobody
// watches.
func (s *stall) longest() time.Duration {
	last := s.last.Load()
	if last == 0 {
		return 0
	}
	now := time.Duration(time.Now().UnixNano()-last) - nap
	return max(now, time.Duration(s.worst.Load()))
}
