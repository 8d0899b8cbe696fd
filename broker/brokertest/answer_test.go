package brokertest

import (
	"testing"
	"testing/synctest"
	"time"
)

// What a store's answers take counts from the beginning of a test on, also while one is
// awaited.
func TestAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		took := 300 * time.Millisecond
		a := askOn(t, func() error { time.Sleep(took); return nil })
		began := time.Now()
		time.Sleep(took / 2)
		if got := a.longest(began); got != took/2 {
			t.Errorf("an answer is awaited for %v, want %v", got, took/2)
		}
		time.Sleep(took/2 + time.Millisecond)
		if got := a.longest(began); got != took {
			t.Errorf("the answer took %v, want %v", got, took)
		}
		if got := a.longest(time.Now()); got != 0 {
			t.Errorf("a test that begins now has answers that took %v", got)
		}
	})
	if got := askOn(t, nil).longest(time.Time{}); got != 0 {
		t.Errorf("nobody asks, and the answers took %v", got)
	}
}
