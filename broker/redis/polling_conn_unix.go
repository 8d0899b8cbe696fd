//go:build unix

package redis

import (
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// A polling connection polls its socket; polling_conn.go has the reason. The socket is in
// non-blocking mode, as Go opens it, so a read returns EAGAIN at once if there is no data. The
// pause between two reads doubles from firstNap to lastNap, so an idle connection costs 50
// system calls per second. Since a read never waits in the runtime's poller, the connection
// keeps the read deadline itself.

const (
	firstNap = 500 * time.Microsecond // the first pause between two looks at the socket
	lastNap  = 20 * time.Millisecond  // the longest pause
)

// pollingConn is a connection whose reads poll the socket.
type pollingConn struct {
	net.Conn
	raw      syscall.RawConn
	deadline atomic.Pointer[time.Time] // of reads; nil if there is none
}

// polling returns a connection whose reads poll the socket of conn. It returns conn itself
// if that has no socket, or is polling already.
func polling(conn net.Conn) net.Conn {
	socket, ok := conn.(syscall.Conn)
	if _, is := conn.(*pollingConn); !ok || is {
		return conn
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return conn
	}
	return &pollingConn{Conn: conn, raw: raw}
}

// SyscallConn implements [syscall.Conn]. The client uses it to find out whether the server
// has closed an idle connection.
func (c *pollingConn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

// SetDeadline implements [net.Conn].
func (c *pollingConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements [net.Conn].
func (c *pollingConn) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		c.deadline.Store(nil)
	} else {
		c.deadline.Store(&t)
	}
	return nil
}

// Read implements [net.Conn].
func (c *pollingConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for nap := firstNap; ; nap = min(2*nap, lastNap) {
		var n int
		var bad error
		// The callback always returns true, so that RawConn.Read never waits by itself.
		err := c.raw.Read(func(fd uintptr) bool {
			for {
				if n, bad = syscall.Read(int(fd), p); bad != syscall.EINTR {
					return true
				}
			}
		})
		switch {
		case err != nil: // the connection is closed
			return 0, err
		case bad == syscall.EAGAIN: // no data yet
		case bad != nil:
			return 0, &net.OpError{Op: "read", Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError("read", bad)}
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
		// The deadline is read each time: another goroutine may change it during the read.
		if d := c.deadline.Load(); d != nil {
			left := time.Until(*d)
			if left <= 0 {
				return 0, &net.OpError{Op: "read", Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.ErrDeadlineExceeded}
			}
			time.Sleep(min(nap, left))
			continue
		}
		time.Sleep(nap)
	}
}
