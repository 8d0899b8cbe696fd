package redistest

import (
	"strings"
	"testing"
)

// A server whose port another one has does not count as started because that one answers.
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
		t.Error("it started on the port of another server")
	}
}
