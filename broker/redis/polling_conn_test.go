//go:build unix

package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// pair returns both ends of a connection. The first one is polling.
func pair(t *testing.T) (c, peer net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err = pollingDialer((&net.Dialer{}).DialContext)(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if peer, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = c.Close(), peer.Close() })
	return c, peer
}

// The reads of a polling connection have the same results as those of any other connection.
func TestPollingConn(t *testing.T) {
	t.Parallel()
	c, peer := pair(t)
	buf := make([]byte, 8)

	began := time.Now()
	_ = c.SetReadDeadline(began.Add(3 * time.Millisecond))
	var timeout net.Error
	if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("a read with a deadline and nothing to read: %v", err)
	}
	if d := time.Since(began); d < 3*time.Millisecond {
		t.Errorf("the read ended after %v, before its deadline", d)
	}

	_ = c.SetDeadline(time.Time{})
	go func() {
		time.Sleep(2 * time.Millisecond)
		_, _ = peer.Write([]byte("hello"))
	}()
	if n, err := c.Read(buf); n == 0 || err != nil || string(buf[:n]) != "hello"[:n] {
		t.Errorf("read %q, %v", buf[:n], err)
	}

	ended := make(chan error, 1)
	go func() {
		_, err := c.Read(buf)
		ended <- err
	}()
	_ = c.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read during which the connection is closed: %v", err)
	}

	c, peer = pair(t)
	if _, is := c.(syscall.Conn); !is {
		t.Error("the client can't find out whether the server has closed the connection")
	}
	_ = peer.Close()
	if _, err := c.Read(buf); !errors.Is(err, io.EOF) {
		t.Errorf("a read after the other end was closed: %v", err)
	}
}

// A broker that Open has made uses polling connections for heartbeats, and no others. With TLS
// the connection below TLS is polling.
func TestHeartbeatsPoll(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s := redistest.Start(t, path)
	wrap := new(inlining).wrap
	dial := pollingDialer(dialer(0, nil, wrap))
	conn, err := dial(t.Context(), "tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, is := conn.(*pollingConn); !is {
		t.Errorf("the connection is a %T", conn)
	}
	if usual, err := dialer(0, nil, wrap)(t.Context(), "tcp", s.Addr); err != nil {
		t.Error(err)
	} else if _, is := usual.(*pollingConn); is {
		t.Error("all connections are polling")
	} else {
		_ = usual.Close()
	}

	guarded, config := redistest.StartTLS(t, path)
	conn, err = pollingDialer(dialer(0, config, wrap))(t.Context(), "tcp", guarded.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if over, is := conn.(*tls.Conn); !is {
		t.Errorf("the connection with TLS is a %T", conn)
	} else if _, is := over.NetConn().(*pollingConn); !is {
		t.Errorf("below TLS the connection is a %T", over.NetConn())
	}

	here, there := net.Pipe()
	defer func() { _, _ = here.Close(), there.Close() }()
	secure := tls.Client(here, &tls.Config{ServerName: "x"})
	got, err := pollingDialer(func(context.Context, string, string) (net.Conn, error) { return secure, nil })(t.Context(), "", "")
	if got != net.Conn(secure) || err != nil {
		t.Errorf("a foreign dialer's connection with TLS became a %T, %v", got, err)
	}
}
