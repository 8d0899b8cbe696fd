package redistest

import (
	"strconv"
	"strings"
	"testing"
)

// A server whose port is taken by another server does not count as started, although the other
// server answers on that port.
func TestPortOfAnother(t *testing.T) {
	t.Parallel()
	path := Path(t)
	if path == "" {
		return
	}
	other := Start(t, path)
	_, port, _ := strings.Cut(other.Addr, ":")
	s := &Server{Addr: other.Addr, path: path, args: append(plain(t), "--port", port), t: t}
	if err := s.run(); err == nil {
		t.Error("the server counts as started, but another server has its port")
	}
}

// The port of a server that is down is not given to another test.
func TestPortOfAServerThatIsDown(t *testing.T) {
	t.Parallel()
	path := Path(t)
	if path == "" {
		return
	}
	s := Start(t, path)
	s.Kill()
	_, text, _ := strings.Cut(s.Addr, ":")
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := reserve(t, port); err == nil {
		t.Error("another test gets the port")
	}
}

// A server counts as one with TLS only if it speaks TLS.
func TestPortWithoutTLS(t *testing.T) {
	t.Parallel()
	path := Path(t)
	if path == "" {
		return
	}
	if err := speaksTLS(Start(t, path).Addr); err == nil {
		t.Error("a server without TLS counts as one with TLS")
	}
}
