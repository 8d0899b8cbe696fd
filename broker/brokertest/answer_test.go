package brokertest

import (
	"testing"
	"testing/synctest"
	"time"
)

// An answer counts from the beginning of the test on, even before it has arrived.
func TestAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		took := 300 * time.Millisecond
		a := askOn(t, func() error { time.Sleep(took); return nil })
		began := time.Now()
		time.Sleep(took / 2)
		if got := a.longest(began); got != took/2 {
			t.Errorf("the pending answer counts as %v, want %v", got, took/2)
		}
		time.Sleep(took/2 + time.Millisecond)
		if got := a.longest(began); got != took {
			t.Errorf("the longest answer is %v, want %v", got, took)
		}
		if got := a.longest(time.Now()); got != 0 {
			t.Errorf("the longest answer of a test that begins now is %v, want 0", got)
		}
	})
	if got := askOn(t, nil).longest(time.Time{}); got != 0 {
		t.Errorf("without a ping the longest answer is %v, want 0", got)
	}
}
