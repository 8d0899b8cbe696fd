package redis

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// Enqueue and Settle send a request for each task of a single caller. So they do not hand it to another
// goroutine, as ask does, which takes a quarter of their time. They wait for the reply themselves.
//
// They must still return when their context ends. The client library can't be told that a context was
// cancelled. It returns at once, however, if the deadline of its connection passes, and so the end of
// the context sets such a deadline. For that the broker must know the connection on which the request
// waits. The shared client does not tell which of its connections that is. So these requests have links.
// A link is a client with a single connection. One request at a time has it, and no other request can
// be ended by mistake.
//
// A link whose request was ended is closed, since its reply may still come.
//
// A request never waits for a link to connect: over a slow line that can take longer than the time of
// a request, which would end the request, close the link, and begin anew with the next one. So a link is
// connected in the background when one is needed, and requests use ask until it is there. For the same
// reason a link never connects again. A request that finds the connection of its link closed uses ask.
//
// Only a broker that Open has made for one server has links. Other brokers use ask: a client of a user may
// have hooks, a link would stay with the old master after a failover of Sentinel, and the client for a
// cluster also waits for other things than its connections.

// maxLinks is how many links a broker has at most. When all are in use, requests use ask. An arbiter has
// two requests of this kind under way at a time, and a minion one.
const maxLinks = 8

// links has the links of a broker.
type links struct {
	mu      sync.Mutex
	options *redis.Options // for the client of a link; nil if the broker makes no links
	all     []*link
	free    []*link // those without a request; the last one was used last, and is taken first
	dialing bool    // a further one is being connected
}

// link is a client with one connection.
type link struct {
	client *redis.Client

	mu   sync.Mutex
	conn net.Conn // the connection; nil until the client has connected
	over bool     // the context of the request has ended
	lost bool     // the connection is lost
}

// linkKey is the key of a context value: the link for the requests that have this context.
type linkKey struct{}

// askLink is ask for a function that may run on the goroutine of the caller. f must use the context that
// it gets for all its requests, send them by scripts, and wait for nothing else.
func askLink[T any](ctx context.Context, b *Broker, f func(ctx context.Context) (T, error)) (T, error) {
	l := (*link)(nil)
	if ctx.Done() != nil && ctx.Err() == nil {
		l = b.links.take()
	}
	if l == nil {
		return ask(ctx, func() (T, error) { return f(ctx) })
	}
	stop := context.AfterFunc(ctx, l.end)
	defer func() { b.links.give(l, stop()) }()
	out, err := f(context.WithValue(ctx, linkKey{}, l))
	if err != nil && l.isLost() && ctx.Err() == nil { // all requests on links may be repeated
		return ask(ctx, func() (T, error) { return f(ctx) })
	}
	return out, ended(ctx, err)
}

// client returns the client for a request: the one of its link, or the shared client.
func (b *Broker) client(ctx context.Context) redis.UniversalClient {
	if l, ok := ctx.Value(linkKey{}).(*link); ok {
		return l.client
	}
	return b.rdb
}

// open allows links. They connect as a client with these options does.
func (ls *links) open(o redis.Options) {
	o.MinIdleConns, o.PipelinePoolSize = 0, -1 // no connection in advance, and none only for pipelines
	ls.options = &o
}

// take returns a link for one request, or nil if none is free. Then it has one connected for later
// requests, unless there are enough.
func (ls *links) take() *link {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if n := len(ls.free); n > 0 {
		l := ls.free[n-1]
		ls.free = ls.free[:n-1]
		return l
	}
	if ls.options != nil && len(ls.all) < maxLinks && !ls.dialing {
		ls.dialing = true
		l := newLink(*ls.options)
		ls.all = append(ls.all, l)
		go ls.connect(l)
	}
	return nil
}

// connect connects a new link. close ends it, since it closes the client.
func (ls *links) connect(l *link) {
	err := l.client.Ping(context.Background()).Err()
	ls.mu.Lock()
	ls.dialing = false
	ls.mu.Unlock()
	ls.give(l, err == nil)
}

// give takes back a link whose request is over. It closes the link if the request was ended, or if
// the connection is lost.
func (ls *links) give(l *link, whole bool) {
	whole = whole && !l.isLost()
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if whole && ls.options != nil {
		ls.free = append(ls.free, l)
		return
	}
	ls.all = slices.DeleteFunc(ls.all, func(other *link) bool { return other == l })
	_ = l.client.Close()
}

// isLost reports whether the connection is lost.
func (l *link) isLost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// close closes all links, also those in use, as Close does with the connections of the shared client.
func (ls *links) close() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.all {
		_ = l.client.Close()
	}
	ls.options, ls.all, ls.free = nil, nil, nil
}

func newLink(o redis.Options) *link {
	l := &link{}
	dial := o.Dialer
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		l.mu.Lock()
		l.lost = l.conn != nil
		again := l.lost
		l.mu.Unlock()
		if again {
			return nil, net.ErrClosed
		}
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return l.connected(conn), nil
	}
	l.client = redis.NewClient(&o)
	return l
}

// connected notes the connection, and returns it as the client gets it.
func (l *link) connected(conn net.Conn) net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = conn
	if l.over {
		_ = conn.SetDeadline(past)
	}
	if socket, is := conn.(syscall.Conn); is {
		return linkSocket{linkConn{conn, l}, socket}
	}
	return linkConn{conn, l}
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// end ends the request. It is called when the context of the request has ended.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	if l.conn != nil {
		_ = l.conn.SetDeadline(past)
	}
}

// linkConn is the connection of a link, as the client sees it. The client sets a deadline before each
// read and write. Once the request is over, these deadlines have no effect.
type linkConn struct {
	net.Conn
	link *link
}

// linkSocket is a linkConn with a socket. The client looks there whether the server has closed the
// connection while it was idle.
type linkSocket struct {
	linkConn
	syscall.Conn
}

func (c linkConn) set(deadline func(time.Time) error, t time.Time) error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.link.over {
		t = past
	}
	return deadline(t)
}

// SetDeadline implements [net.Conn].
func (c linkConn) SetDeadline(t time.Time) error { return c.set(c.Conn.SetDeadline, t) }

// SetReadDeadline implements [net.Conn].
func (c linkConn) SetReadDeadline(t time.Time) error { return c.set(c.Conn.SetReadDeadline, t) }

// SetWriteDeadline implements [net.Conn].
func (c linkConn) SetWriteDeadline(t time.Time) error { return c.set(c.Conn.SetWriteDeadline, t) }

// Close implements [net.Conn]. TLS writes when it is closed, and may wait for that. So after the end of the
// request only the connection below TLS is closed.
func (c linkConn) Close() error {
	c.link.mu.Lock()
	over := c.link.over
	c.link.mu.Unlock()
	if secure, is := c.Conn.(*tls.Conn); is && over {
		return secure.NetConn().Close()
	}
	return c.Conn.Close()
}
