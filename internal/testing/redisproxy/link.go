package redisproxy

import (
	"bufio"
	"net"
	"sync"
	"time"
)

// link is the connection of one client, and the connection to the server behind it.
type link struct {
	p      *Proxy
	client net.Conn
	closed chan struct{} // closed by cut

	mu       sync.Mutex
	answered *sync.Cond // sent, got, or over has changed
	server   net.Conn
	sent     int // commands that the server got and will answer
	got      int // answers of the server so far
	last     int // number of the first answer that is not passed on; 0 if all are
	hold     time.Duration
	over     bool
}

// cut closes both connections. It may be called twice.
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

// commands passes commands to the server, and applies faults.
func (l *link) commands() {
	defer l.cut()
	r := bufio.NewReader(l.client)
	late := false // the data before was carried by a line with a delay
	for {
		idle := !late || l.idle(l.client, r)
		c, raw, err := readCommand(r)
		if err != nil || !l.melt() {
			return
		}
		var open bool
		if late, open = l.drag(idle, len(raw)); !open {
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
			l.settled() // earlier commands are still answered
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

// forward sends a command to the server. If mute is set, neither its answer nor a later one is
// passed on. hold is the delay of the next answer.
func (l *link) forward(c Command, raw []byte, mute bool, hold time.Duration) bool {
	l.mu.Lock()
	switch c.Name() {
	case "subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe":
		// The server answers these by pushes.
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

// silence stops passing on what the server sends.
func (l *link) silence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == 0 {
		l.last = max(l.got, 1)
	}
}

// settled waits until the server has answered everything. It reports whether the connection is
// still open.
func (l *link) settled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.got < l.sent && !l.over {
		l.answered.Wait()
	}
	return !l.over
}

// swallow reads and drops what the client sends, until one side closes.
func (l *link) swallow(r *bufio.Reader) {
	for {
		if _, err := r.Discard(1); err != nil {
			return
		}
	}
}

// replies passes replies on to the client.
func (l *link) replies() {
	defer l.cut()
	r := bufio.NewReader(l.server)
	late := false // as in commands
	for {
		idle := !late || l.idle(l.server, r)
		raw, push, err := readReply(r)
		if err != nil || !l.melt() {
			return
		}
		var open bool
		if late, open = l.drag(idle, len(raw)); !open {
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

// melt waits as long as the proxy is frozen. It reports whether the connection is still open.
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

// idle reports whether no data is waiting to be read. Data that arrived during a delay is still in
// the connection.
func (l *link) idle(conn net.Conn, r *bufio.Reader) bool {
	if delay, _ := l.p.slowness(); delay > 0 && r.Buffered() == 0 {
		_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, _ = r.Peek(1)
		_ = conn.SetReadDeadline(time.Time{})
	}
	return r.Buffered() == 0
}

// drag waits as long as n bytes take while the proxy is slow. It reports whether the line has a
// delay now, and whether the connection is still open. Only data that finds the line idle waits for
// the delay, too. Data that follows delayed data closely was in transit at the same time.
func (l *link) drag(idle bool, n int) (late, open bool) {
	delay, rate := l.p.slowness()
	late = delay > 0
	if !idle {
		delay = 0
	}
	if rate > 0 {
		delay += time.Duration(n) * time.Second / time.Duration(rate)
	}
	return late, delay == 0 || l.pause(delay)
}

// pause waits for d. It reports whether the connection is still open.
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
