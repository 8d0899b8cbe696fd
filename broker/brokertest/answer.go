package brokertest

import (
	"sync"
	"testing"
	"time"
)

// On a busy machine a store in another process may be late although this process does not stall. So
// the suite sends the store a cheap request again and again, and counts the time of the slowest
// answer as a stall.

// asks is the interval between two such requests.
const asks = 20 * time.Millisecond

// answers records how long the store's answers took.
type answers struct {
	mu    sync.Mutex
	late  []answer
	asked time.Time // when the request was sent that is not answered yet; zero if there is none
}

type answer struct {
	at   time.Time
	took time.Duration
}

// askOn sends requests until the test ends. It returns nil if ping is nil.
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
	_ = ping() // a failed request counts too: it also took its time
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = time.Time{}
	if took := now.Sub(began); took > time.Millisecond {
		a.late = append(a.late, answer{now, took})
	}
}

// longest returns how long the slowest answer after since took. A request that is not answered yet
// counts with its time so far.
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
