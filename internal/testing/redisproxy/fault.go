package redisproxy

import (
	"slices"
	"time"
)

// Action is what a fault does to a command and its connection.
type Action int

// The actions.
const (
	// CutBefore closes the connection before the server gets the command.
	CutBefore Action = iota
	// CutAfter lets the server carry the command out, and closes the connection instead of sending
	// the reply.
	CutAfter
	// Stall delays the command for Fault.Hold.
	Stall
	// StallReply delays the reply for Fault.Hold.
	StallReply
	// HalfOpen drops the command and everything after it. The connection stays open, and the client
	// gets nothing any more.
	HalfOpen
	// HalfOpenAfter is HalfOpen after the server has carried the command out.
	HalfOpenAfter
)

// Fault defines which commands are struck, and how.
type Fault struct {
	Match Matcher // nil matches every command
	Skip  int     // number of matching commands to pass on before the first hit
	Times int     // number of commands to strike; 0 means one, a negative number all
	Do    Action
	Hold  time.Duration // the delay of Stall and StallReply
}

// Injection is an active fault.
type Injection struct {
	p     *Proxy
	fault Fault
	skip  int
	left  int
	hits  int
	done  chan struct{}
}

// Inject adds a fault. If several faults match a command, the oldest one strikes.
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

// Hits returns the number of struck commands.
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

// strike returns the fault that strikes a command, if there is one.
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
