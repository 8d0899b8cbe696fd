package isolate

import (
	"testing"
	"time"
)

func TestLimiter(t *testing.T) {
	l := limiter{rate: 2}
	now := time.Now()
	for i, step := range []struct {
		after   time.Duration
		ok      bool
		dropped int
	}{
		{0, true, 0}, {0, true, 0}, {0, false, 0}, {999 * time.Millisecond, false, 0},
		{time.Millisecond, true, 2}, {0, true, 0}, {0, false, 0},
		{time.Hour, true, 1}, {0, true, 0}, {0, false, 0}, {0, false, 0},
	} {
		now = now.Add(step.after)
		if ok, dropped := l.admit(now); ok != step.ok || dropped != step.dropped {
			t.Errorf("line %d: admitted %v with %d dropped before it, want %v with %d", i, ok, dropped, step.ok, step.dropped)
		}
	}
	if a, b := l.flush(), l.flush(); a != 2 || b != 0 {
		t.Errorf("flush returned %d and then %d, want 2 and 0", a, b)
	}
	free := limiter{}
	for range 10_000 {
		if ok, dropped := free.admit(now); !ok || dropped != 0 {
			t.Fatal("a line was dropped without a limit")
		}
	}
}
