package redisproxy

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy is a proxy in front of one server. Its methods may be called concurrently.
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
	thaw     chan struct{} // not nil while the proxy is frozen; closed when that ends
	delay    time.Duration
	rate     int
}

// Start starts a proxy for the server at target. It is stopped at the end of the test.
func Start(t testing.TB, target string) *Proxy {
	t.Helper()
	p, err := Listen(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// Listen is Start without a test. The caller has to call Close.
func Listen(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, listener: l, links: make(map[*link]struct{})}
	p.wg.Go(p.accept)
	return p, nil
}

// Close closes all connections and stops the proxy.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.Freeze(false)
	p.Refuse(true)
	p.Cut()
	p.wg.Wait()
}

// URL returns the URL of the proxy for redis.Open.
func (p *Proxy) URL() string { return "redis://" + p.Addr + "/0" }

// Commands returns the number of commands that clients have sent.
func (p *Proxy) Commands() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.commands
}

// Cut closes all connections, and returns their number.
func (p *Proxy) Cut() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.cut()
	}
	return len(p.links)
}

// Refuse sets whether new connections are closed at once.
func (p *Proxy) Refuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = on
}

// Freeze stops all traffic in both directions, or lets it go on. While it is stopped, new
// connections are accepted and get no answer. Held data is sent when traffic goes on.
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

// Slow delays all data in each direction, and limits the rate of each connection to rate bytes a
// second. A rate of 0 is no limit.
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

// serve passes the bytes of a connection on until one side closes it.
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
