package redistest

import (
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
