package chaos

import (
	"sync"
	"time"
)

// Noter records the events of a process.
type Noter interface {
	// Note appends events. An event without a time gets the current one.
	Note(events ...Event)

	// Now returns the time of the clock that all processes share.
	Now() int64
}

// Recorder holds the ledgers of the simulated processes, which all live in this process. No two
// events have the same time. So events have an order even while a fake clock stands still.
type Recorder struct {
	mu     sync.Mutex
	last   int64
	events []Event
}

// Page is the ledger of one process in a [Recorder].
type Page struct {
	r     *Recorder
	proc  string
	ended bool // guarded by r.mu
}

// Page returns the ledger of a process.
func (r *Recorder) Page(proc string) *Page { return &Page{r: r, proc: proc} }

// Note appends events, unless the process has ended.
func (p *Page) Note(events ...Event) {
	r := p.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.ended {
		return
	}
	for _, e := range events {
		e.Proc = p.proc
		if e.At == 0 {
			e.At = r.now()
		}
		r.events = append(r.events, e)
	}
}

// Now returns the current time. No event has that time yet.
func (p *Page) Now() int64 {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	return p.r.now()
}

// now is Now for a caller that holds the mutex.
func (r *Recorder) now() int64 {
	r.last = max(r.last+1, time.Now().UnixNano())
	return r.last
}

// End ends the process: later events of it are dropped. It returns the time of the end.
func (p *Page) End() int64 {
	r := p.r
	r.mu.Lock()
	defer r.mu.Unlock()
	p.ended = true
	return r.now()
}

// Events returns all events so far.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Event(nil), r.events...)
}
