package stall

import (
	"testing"
	"testing/synctest"
	"time"
)

// A stall counts while it lasts and afterwards. Short naps do not count.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Watch
		if d := s.Longest(); d != 0 {
			t.Errorf("a watch that does not run reports a stall of %v", d)
		}
		stop := make(chan struct{})
		go s.Run(stop)
		time.Sleep(time.Second + nap/2)
		if d := s.Longest(); d > 0 {
			t.Errorf("the watch reports a stall of %v without a cause", d)
		}
		close(stop) // from now on it measures nothing, as if it could not run
		synctest.Wait()
		time.Sleep(time.Second)
		if d := s.Longest(); d < time.Second-2*nap || d > time.Second {
			t.Errorf("the watch reports a stall of %v, want about one second", d)
		}
		if d := s.Late(time.Minute); d < time.Minute+3*time.Second || d > time.Minute+5*time.Second {
			t.Errorf("Late(1 minute) is %v", d)
		}
	})
}
