package redis

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// The requests of each task, those of Enqueue and Settle, run on the goroutine of the caller, by the
// function inline. That saves the time that a goroutine of their own takes, as ask makes one: it has to
// grow its stack, and the two wait for each other twice. The dequeue script does not run so: it brings
// many tasks, and what it hands out after its caller has left must be found again soon.
//
// The caller must still return when its context ends. So that end interrupts the connection on which
// the request waits. For that the broker must know the connection, but go-redis chooses one and does not
// tell. What it does is this: before it writes a request, and before it reads the reply, it asks the
// context of the request for its deadline, and sets that at the connection. So a request that runs in
// line gives go-redis a context whose deadline has a mark: a time zone that no other time has.
// The dialer of Open wraps each connection. The wrapper looks the mark up, notes which request the
// connection serves from now on, and sets a deadline by the timeouts of the client.
//
// An interrupt lets the deadlines of the connection pass. go-redis then closes the connection, and the
// reply is lost like that of a connection that breaks. An interrupt must never strike another request,
// to which the connection was handed meanwhile. These rules see to that, each under the lock of the
// connection:
//   - Each time that a deadline is set, the connection serves the request whose mark that deadline
//     has, and no request if it has none. go-redis sets a deadline before each write and each read.
//   - An interrupt does nothing unless the connection still serves its request.
//   - The end of a request ends that, and takes back an interrupt that came too late for it.
//
// A newer go-redis might not pass the mark on. So Open looks whether its first requests have
// come to a connection with their marks. If not, and with the client of a user or of a cluster, which
// waits for more than connections, inline is the same as ask.

// inlining has the requests of a broker that run in line.
type inlining struct {
	works       bool          // whether the client passes marks on
	read, write time.Duration // the timeouts of the client

	mu       sync.Mutex
	requests map[*time.Location]*inlineRequest // by mark
}

// inline is ask for a request that may run on the goroutine of the caller. f must use the context
// that it gets for all it sends, and must not wait for anything else.
func inline[T any](ctx context.Context, b *Broker, f func(ctx context.Context) (T, error)) (T, error) {
	if !b.cfg.inlining.works || ctx.Done() == nil || ctx.Err() != nil {
		return ask(ctx, func() (T, error) { return f(ctx) })
	}
	r := b.cfg.inlining.begin(ctx)
	defer r.end()
	out, err := f(r)
	return out, ended(ctx, err)
}

// use prepares a client that Open has made for requests in line. Their context has a deadline, so the
// client must respect deadlines. A hook keeps those of all other requests from it, since a request
// that its caller has left goes on.
func (in *inlining) use(client *redis.Client) {
	in.requests = make(map[*time.Location]*inlineRequest)
	in.read, in.write = client.Options().ReadTimeout, client.Options().WriteTimeout
	client.AddHook(hideDeadlines{})
}

// try finds out whether requests can run in line. It sends one by f, and looks whether its mark
// comes to a connection before it is written and before its reply is read.
func (in *inlining) try(ctx context.Context, f func(context.Context)) {
	if in.requests == nil || in.read <= 0 || in.write <= 0 {
		f(ctx)
		return
	}
	r := in.begin(ctx)
	f(r)
	r.end()
	in.works = r.wrote && r.awaited
}

// inlineRequest is a request that runs in line, and the context that go-redis gets for it.
type inlineRequest struct {
	context.Context
	in   *inlining
	mark time.Location
	stop func() bool // ends the wait for the end of the context

	mu             sync.Mutex
	over           bool // the request has ended, or its context has
	conns          []*inlineConn
	wrote, awaited bool // whether a connection had the mark for writing and for reading
}

func (in *inlining) begin(ctx context.Context) *inlineRequest {
	r := &inlineRequest{Context: ctx, in: in}
	in.mu.Lock()
	in.requests[&r.mark] = r
	in.mu.Unlock()
	r.stop = context.AfterFunc(ctx, func() {
		for _, c := range r.leave() {
			c.interrupt(r)
		}
	})
	return r
}

// Deadline implements [context.Context]. It returns an instant with the mark. go-redis prefers it to
// its own timeout if it is earlier, which half of the timeout is.
func (r *inlineRequest) Deadline() (time.Time, bool) {
	return time.Now().Add(min(r.in.read, r.in.write) / 2).In(&r.mark), true
}

// leave makes sure that no further connection serves the request. It returns those that may do so.
func (r *inlineRequest) leave() []*inlineConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	return r.conns
}

func (r *inlineRequest) end() {
	r.stop()
	for _, c := range r.leave() {
		c.release(r)
	}
	r.in.mu.Lock()
	defer r.in.mu.Unlock()
	delete(r.in.requests, &r.mark)
}

// join notes that a connection serves the request, unless that is over.
func (r *inlineRequest) join(c *inlineConn, reads bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return false
	}
	r.wrote, r.awaited = r.wrote || !reads, r.awaited || reads
	if !slices.Contains(r.conns, c) {
		r.conns = append(r.conns, c)
	}
	return true
}

// inlineConn is a connection that can serve requests in line.
type inlineConn struct {
	net.Conn
	in   *inlining
	dead atomic.Bool // an interrupt has struck, so the client closes it

	mu     sync.Mutex
	serves *inlineRequest // nil for a request that does not run in line
	struck bool           // that request was interrupted
}

// wrap returns a connection that can serve requests in line. A connection without a socket stays as
// it is, since the client looks at the sockets of idle connections.
func (in *inlining) wrap(conn net.Conn) net.Conn {
	if _, ok := conn.(syscall.Conn); !ok {
		return conn
	}
	return &inlineConn{Conn: conn, in: in}
}

// SyscallConn implements [syscall.Conn].
func (c *inlineConn) SyscallConn() (syscall.RawConn, error) {
	return c.Conn.(syscall.Conn).SyscallConn()
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// serve sets a deadline for the request whose mark it has, or for none.
func (c *inlineConn) serve(t time.Time, set func(time.Time) error, reads bool) error {
	var r *inlineRequest
	if mark := t.Location(); mark != time.Local && mark != time.UTC {
		c.in.mu.Lock()
		r = c.in.requests[mark]
		c.in.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serves, c.struck = r, false
	switch {
	case r == nil:
	case !r.join(c, reads):
		c.struck, t = true, past
	case reads:
		t = time.Now().Add(c.in.read)
	default:
		t = time.Now().Add(c.in.write)
	}
	return set(t)
}

// SetReadDeadline implements [net.Conn].
func (c *inlineConn) SetReadDeadline(t time.Time) error {
	return c.serve(t, c.Conn.SetReadDeadline, true)
}

// SetWriteDeadline implements [net.Conn].
func (c *inlineConn) SetWriteDeadline(t time.Time) error {
	return c.serve(t, c.Conn.SetWriteDeadline, false)
}

// SetDeadline implements [net.Conn].
func (c *inlineConn) SetDeadline(t time.Time) error { return c.serve(t, c.Conn.SetDeadline, true) }

// interrupt ends the reads and writes of a request.
func (c *inlineConn) interrupt(r *inlineRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.serves == r {
		c.struck = true
		_ = c.Conn.SetDeadline(past)
	}
}

// release is called when a request has ended. The connection may have been handed on.
func (c *inlineConn) release(r *inlineRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.serves != r {
		return
	}
	if c.serves = nil; c.struck && !c.dead.Load() {
		c.struck = false
		_ = c.Conn.SetDeadline(time.Time{})
	}
}

// Read implements [net.Conn].
func (c *inlineConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.why(err)
}

// Write implements [net.Conn]. TLS writes when it is closed, which must not wait for the server.
func (c *inlineConn) Write(p []byte) (int, error) {
	if c.dead.Load() {
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Write(p)
	return n, c.why(err)
}

// why returns the error of a read or write. If an interrupt was the reason, it wraps the error of
// the context.
func (c *inlineConn) why(err error) error {
	if timeout, ok := err.(net.Error); !ok || !timeout.Timeout() { //nolint:errorlint // a socket returns its errors unwrapped
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.struck || c.serves == nil {
		return err
	}
	c.dead.Store(true)
	return fmt.Errorf("no answer from the server yet: %w", c.serves.Err())
}

// hideDeadlines is a hook of the client that hides the deadlines of contexts from it, but not those
// with a mark.
type hideDeadlines struct{}

// undated is a context without its deadline.
type undated struct{ context.Context }

// Deadline implements [context.Context].
func (undated) Deadline() (time.Time, bool) { return time.Time{}, false }

func undate(ctx context.Context) context.Context {
	if _, marked := ctx.(*inlineRequest); marked {
		return ctx
	}
	return undated{ctx}
}

// DialHook implements [redis.Hook].
func (hideDeadlines) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements [redis.Hook].
func (hideDeadlines) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return next(undate(ctx), cmd) }
}

// ProcessPipelineHook implements [redis.Hook].
func (hideDeadlines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return next(undate(ctx), cmds) }
}
