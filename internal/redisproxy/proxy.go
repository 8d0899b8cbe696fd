package redisproxy

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy is a proxy in front of one server. Its methods may be called
// concurrently.
type Proxy struct {
	Addr   string
	target string
	wg     sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	links    map[*link]struct{}
	faults   []*Injection
	commands int
	refuse   bool
	thaw     chan struct{} // not nil while frozen; closed by its end
	delay    time.Duration
	rate     int
}

// Start starts a proxy to a server's address. The test's end stops it.
func Start(t testing.TB, target string) *Proxy {
	t.Helper()
	p, err := Listen(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// Listen is Start for who is no test, and calls Close.
func Listen(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, listener: l, links: make(map[*link]struct{})}
	p.wg.Go(p.accept)
	return p, nil
}

// Close ends all connections and the proxy.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.Freeze(false)
	p.Refuse(true)
	p.Cut()
	p.wg.Wait()
}

// URL is where the proxy is, for redis.Open.
func (p *Proxy) URL() string { return "redis://" + p.Addr + "/0" }

// Commands returns how many commands came by.
func (p *Proxy) Commands() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.commands
}

// Cut ends all connections, and returns how many there were.
func (p *Proxy) Cut() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.cut()
	}
	return len(p.links)
}

// Refuse says whether new connections are closed at once.
func (p *Proxy) Refuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = on
}

// Freeze says whether nothing passes any more, in either direction. New
// connections are accepted and say nothing. What was kept passes afterwards.
func (p *Proxy) Freeze(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case on && p.thaw == nil:
		p.thaw = make(chan struct{})
	case !on && p.thaw != nil:
		close(p.thaw)
		p.thaw = nil
	}
}

// Slow says how much later everything passes, in each direction, and how many
// bytes a second do on each connection. A rate of 0 is no limit.
func (p *Proxy) Slow(delay time.Duration, rate int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay, p.rate = delay, rate
}

func (p *Proxy) slowness() (delay time.Duration, rate int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.delay, p.rate
}

func (p *Proxy) frozen() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.thaw
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

// serve passes a connection's bytes on until one of its sides ends.
func (p *Proxy) serve(client net.Conn) {
	l := &link{p: p, client: client, closed: make(chan struct{})}
	l.answered = sync.NewCond(&l.mu)
	p.mu.Lock()
	if p.refuse {
		p.mu.Unlock()
		_ = client.Close()
		return
	}
	p.links[l] = struct{}{}
	p.mu.Unlock()
	defer func() {
		l.cut()
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	l.mu.Lock()
	l.server = server
	over := l.over
	l.mu.Unlock()
	if over {
		_ = server.Close()
		return
	}
	var both sync.WaitGroup
	both.Go(l.commands)
	both.Go(l.replies)
	both.Wait()
}
