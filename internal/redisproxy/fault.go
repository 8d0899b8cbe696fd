package redisproxy

import (
	"slices"
	"time"
)

// Action is what a fault does to a command and its connection.
type Action int

// The actions.
const (
	// CutBefore ends the connection; the server never sees the command.
	CutBefore Action = iota
	// CutAfter lets the server carry the command out and ends the connection in
	// place of the reply.
	CutAfter
	// Stall keeps the command for Fault.Hold, then all goes on.
	Stall
	// StallReply keeps the reply for Fault.Hold, then all goes on.
	StallReply
	// HalfOpen swallows the command and everything after it; the connection
	// stays open and says nothing any more.
	HalfOpen
	// HalfOpenAfter is HalfOpen once the server has carried the command out.
	HalfOpenAfter
)

// Fault says which commands are struck, and how.
type Fault struct {
	Match Matcher // nil is every command
	Skip  int     // that many are left alone first
	Times int     // that many are struck then; 0 is one, less is all that come
	Do    Action
	Hold  time.Duration // of Stall and StallReply
}

// Injection is a fault under way.
type Injection struct {
	p     *Proxy
	fault Fault
	skip  int
	left  int
	hits  int
	done  chan struct{}
}

// Inject adds a fault. Of several that match a command, the oldest strikes.
func (p *Proxy) Inject(f Fault) *Injection {
	in := &Injection{p: p, fault: f, skip: f.Skip, left: f.Times, done: make(chan struct{})}
	if in.left == 0 {
		in.left = 1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, in)
	return in
}

// Done returns a channel that is closed at the first hit.
func (in *Injection) Done() <-chan struct{} { return in.done }

// Hits returns how many commands were struck.
func (in *Injection) Hits() int {
	in.p.mu.Lock()
	defer in.p.mu.Unlock()
	return in.hits
}

// Remove ends the fault. It may be called twice.
func (in *Injection) Remove() {
	in.p.mu.Lock()
	defer in.p.mu.Unlock()
	in.p.faults = slices.DeleteFunc(in.p.faults, func(o *Injection) bool { return o == in })
}

// strike returns the fault for a command, if there is one.
func (p *Proxy) strike(c Command) (Fault, bool) {
	text := textOf(c)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commands++
	for i, in := range p.faults {
		if m := in.fault.Match; m != nil && !m(c, text) {
			continue
		}
		if in.skip > 0 {
			in.skip--
			continue
		}
		if in.hits++; in.hits == 1 {
			close(in.done)
		}
		if in.left--; in.left == 0 {
			p.faults = slices.Delete(p.faults, i, i+1)
		}
		return in.fault, true
	}
	return Fault{}, false
}
