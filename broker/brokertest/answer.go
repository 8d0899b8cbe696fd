package brokertest

import (
	"sync"
	"testing"
	"time"
)

// A store in another process is late if the machine does not let that process run. The
// stalls of this process do not tell. So the suite asks the store for next to nothing,
// again and again, and what the answer takes counts as a stall.

// asks is how often the store is asked.
const asks = 20 * time.Millisecond

// answers is how long the answers took.
type answers struct {
	mu    sync.Mutex
	late  []answer
	asked time.Time // of the question that is not answered yet; zero if there is none
}

type answer struct {
	at   time.Time
	took time.Duration
}

// askOn asks until the test has ended. It returns nil if there is nothing to ask.
func askOn(t *testing.T, ping func() error) *answers {
	t.Helper()
	if ping == nil {
		return nil
	}
	a := new(answers)
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			a.ask(ping)
			select {
			case <-over:
				return
			case <-time.After(asks):
			}
		}
	}()
	t.Cleanup(func() { close(over); <-ended })
	return a
}

func (a *answers) ask(ping func() error) {
	began := time.Now()
	a.mu.Lock()
	a.asked = began
	a.mu.Unlock()
	_ = ping() // an error has taken its time, too
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = time.Time{}
	if took := now.Sub(began); took > time.Millisecond {
		a.late = append(a.late, answer{now, took})
	}
}

// longest returns how long the slowest answer took of those that came after a time, or
// how long one is awaited.
func (a *answers) longest(since time.Time) (d time.Duration) {
	if a == nil {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.asked.IsZero() {
		d = time.Since(a.asked)
	}
	for i := len(a.late) - 1; i >= 0 && !a.late[i].at.Before(since); i-- {
		d = max(d, a.late[i].took)
	}
	return d
}
