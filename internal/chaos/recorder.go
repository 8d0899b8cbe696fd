package chaos

import (
	"sync"
	"time"
)

// Noter is where a process notes its events.
type Noter interface {
	// Note appends events, as of now unless they have times.
	Note(events ...Event)

	// Now returns the time, by the clock that all share.
	Now() int64
}

// Recorder keeps the ledgers of processes that are none: all of them live in this
// one. No two events have the same time, so what happens while a fake clock
// stands still has an order too.
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

// Now returns the time, which no event has yet.
func (p *Page) Now() int64 {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	return p.r.now()
}

// now is for those who hold the mutex.
func (r *Recorder) now() int64 {
	r.last = max(r.last+1, time.Now().UnixNano())
	return r.last
}

// End ends the process: what it notes from now on is not there. It returns when
// that was.
func (p *Page) End() int64 {
	r := p.r
	r.mu.Lock()
	defer r.mu.Unlock()
	p.ended = true
	return r.now()
}

// Events returns what was noted so far.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Event(nil), r.events...)
}
