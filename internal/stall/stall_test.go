package stall

import (
	"testing"
	"testing/synctest"
	"time"
)

// A stall counts while it lasts and afterwards; short naps do not.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Watch
		if d := s.Longest(); d != 0 {
			t.Errorf("a stall of %v, and nobody watches", d)
		}
		stop := make(chan struct{})
		go s.Run(stop)
		time.Sleep(time.Second + nap/2)
		if d := s.Longest(); d > 0 {
			t.Errorf("a stall of %v without a cause", d)
		}
		close(stop) // as if it could not run any more
		synctest.Wait()
		time.Sleep(time.Second)
		if d := s.Longest(); d < time.Second-2*nap || d > time.Second {
			t.Errorf("a stall of %v, want about a second", d)
		}
		if d := s.Late(time.Minute); d < time.Minute+3*time.Second || d > time.Minute+5*time.Second {
			t.Errorf("what takes a minute may take %v", d)
		}
	})
}
