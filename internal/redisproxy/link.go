package redisproxy

import (
	"bufio"
	"net"
	"sync"
	"time"
)

// link is one client's connection and the one to the server behind it.
type link struct {
	p      *Proxy
	client net.Conn
	closed chan struct{} // closed by cut

	mu       sync.Mutex
	answered *sync.Cond // sent, got, or over has changed
	server   net.Conn
	sent     int // commands the server was given and will answer
	got      int // its answers
	last     int // if not 0, the answer from which on nothing is passed on
	hold     time.Duration
	over     bool
}

// cut ends both connections. It may be called twice.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	l.over = true
	close(l.closed)
	_ = l.client.Close()
	if l.server != nil {
		_ = l.server.Close()
	}
	l.answered.Broadcast()
}

// commands passes commands on and lets faults strike.
func (l *link) commands() {
	defer l.cut()
	r := bufio.NewReader(l.client)
	for {
		idle := l.idle(l.client, r)
		c, raw, err := readCommand(r)
		if err != nil || !l.melt() || !l.drag(idle, len(raw)) {
			return
		}
		fault, struck := l.p.strike(c)
		if !struck {
			if !l.forward(c, raw, false, 0) {
				return
			}
			continue
		}
		switch fault.Do {
		case CutBefore:
			l.settled() // what was sent before shall be answered
			return
		case CutAfter, HalfOpenAfter:
			if !l.settled() || !l.forward(c, raw, true, 0) || !l.settled() {
				return
			}
			if fault.Do == HalfOpenAfter {
				l.swallow(r)
			}
			return
		case HalfOpen:
			if l.settled() {
				l.silence()
				l.swallow(r)
			}
			return
		case Stall:
			if !l.pause(fault.Hold) || !l.forward(c, raw, false, 0) {
				return
			}
		case StallReply:
			if !l.settled() || !l.forward(c, raw, false, fault.Hold) {
				return
			}
		}
	}
}

// forward gives a command to the server. Mute says that neither its answer nor
// any later one is passed on; hold is how long the next answer is kept.
func (l *link) forward(c Command, raw []byte, mute bool, hold time.Duration) bool {
	l.mu.Lock()
	switch c.Name() {
	case "subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe":
		// They are answered by pushes.
	default:
		l.sent++
	}
	if mute && l.last == 0 {
		l.last = l.got + 1
	}
	l.hold = hold
	l.mu.Unlock()
	_, err := l.server.Write(raw)
	return err == nil
}

// silence lets nothing of the server pass any more.
func (l *link) silence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == 0 {
		l.last = max(l.got, 1)
	}
}

// settled waits until the server has answered everything, and reports whether
// the connection is still there.
func (l *link) settled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.got < l.sent && !l.over {
		l.answered.Wait()
	}
	return !l.over
}

// swallow reads what the client sends until one side ends.
func (l *link) swallow(r *bufio.Reader) {
	for {
		if _, err := r.Discard(1); err != nil {
			return
		}
	}
}

// replies passes replies on.
func (l *link) replies() {
	defer l.cut()
	r := bufio.NewReader(l.server)
	for {
		idle := l.idle(l.server, r)
		raw, push, err := readReply(r)
		if err != nil || !l.melt() || !l.drag(idle, len(raw)) {
			return
		}
		l.mu.Lock()
		n := l.got
		if !push {
			n++
		}
		mute := l.last > 0 && n >= l.last
		hold := l.hold
		if !push {
			l.hold = 0
		}
		l.mu.Unlock()
		if hold > 0 && !push && !l.pause(hold) {
			return
		}
		if !mute {
			if _, err := l.client.Write(raw); err != nil {
				return
			}
		}
		l.mu.Lock()
		l.got = n
		l.answered.Broadcast()
		l.mu.Unlock()
	}
}

// melt waits as long as the proxy is frozen, and reports whether the connection
// is still there.
func (l *link) melt() bool {
	for {
		thaw := l.p.frozen()
		if thaw == nil {
			return true
		}
		select {
		case <-thaw:
		case <-l.closed:
			return false
		}
	}
}

// idle reports whether nothing waits to be read. What has come while something else was
// delayed waits in the connection.
func (l *link) idle(conn net.Conn, r *bufio.Reader) bool {
	if delay, _ := l.p.slowness(); delay > 0 && r.Buffered() == 0 {
		_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, _ = r.Peek(1)
		_ = conn.SetReadDeadline(time.Time{})
	}
	return r.Buffered() == 0
}

// drag waits as long as n bytes take while the proxy is slow, and reports whether
// the connection is still there. Only what finds the line idle is late as well as
// slow: what comes close behind it was under way at the same time.
func (l *link) drag(idle bool, n int) bool {
	delay, rate := l.p.slowness()
	if !idle {
		delay = 0
	}
	if rate > 0 {
		delay += time.Duration(n) * time.Second / time.Duration(rate)
	}
	return delay == 0 || l.pause(delay)
}

// pause waits, and reports whether the connection is still there.
func (l *link) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.closed:
		return false
	}
}
