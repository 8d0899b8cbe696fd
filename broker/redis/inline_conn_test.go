package redis

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// An interrupt ends the read of its own request, and never that of another request to which the
// connection was handed.
func TestInterruptStrikesItsOwnRequest(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	in := &inlining{requests: make(map[*time.Location]*inlineRequest), read: time.Hour, write: time.Hour}
	dial := dialer(0, nil, in.wrap)
	conn, err := dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = conn.Close(), peer.Close() })
	c := conn.(*inlineConn)

	// serve sets deadlines as go-redis does for a request.
	serve := func(r *inlineRequest) {
		t.Helper()
		for _, set := range []func(time.Time) error{c.SetWriteDeadline, c.SetReadDeadline} {
			deadline, _ := r.Deadline()
			if err := set(deadline); err != nil {
				t.Fatal(err)
			}
		}
	}
	// cancelled is a request whose context has ended after the connection served it, and that was told to
	// all its connections.
	cancelled := func(more func()) *inlineRequest {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		r := in.begin(ctx)
		serve(r)
		more()
		if !r.stop() {
			t.Fatal("the request has ended by itself")
		}
		cancel()
		for _, c := range r.leave() { // what the stopped function does, but at this moment
			c.interrupt(r)
		}
		return r
	}
	answer := func(what string) {
		t.Helper()
		if _, err := peer.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("%s: the read returned %d, %v", what, n, err)
		}
	}

	other := in.begin(t.Context())
	late := cancelled(func() { serve(other) })
	answer("another request has the connection when the first one is interrupted")
	late.end()
	answer("the interrupted request ends while another one has the connection")
	other.end()

	plain := cancelled(func() { _ = c.SetReadDeadline(time.Now().Add(time.Hour)) })
	answer("a request that does not run in line has the connection")
	plain.end()
	answer("no request runs in line any more")

	answered := cancelled(func() {})
	if !c.struck {
		t.Error("the interrupt did not reach the connection")
	}
	answered.end()
	answer("the request had its reply before the interrupt, and has ended")

	idle := cancelled(func() {})
	_ = c.SetDeadline(time.Time{}) // the client checks the connection before another request gets it
	answer("the connection was idle, and was checked")
	idle.end()

	ctx, cancel := context.WithCancel(t.Context())
	r := in.begin(ctx)
	serve(r)
	time.AfterFunc(time.Millisecond, cancel)
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("the read of a request whose context ends returned %d, %v", n, err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write after an interrupt: %v", err)
	}
	serve(r)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("a read that begins after the context has ended: %v", err)
	}
	r.end()
	if len(in.requests) != 0 {
		t.Errorf("%d requests are left", len(in.requests))
	}
}
