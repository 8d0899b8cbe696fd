//go:build unix

package redistest

import (
	"syscall"
	"time"
)

// Freeze stops the process of the server with SIGSTOP, or lets it go on. Its connections stay open,
// and clients get no answer.
func (s *Server) Freeze(on bool) {
	s.t.Helper()
	sig := syscall.SIGCONT
	if on {
		sig = syscall.SIGSTOP
	}
	if err := s.proc.Signal(sig); err != nil {
		s.t.Fatalf("freeze redis-server: %v", err)
	}
	if !on {
		s.mu.Lock()
		s.thawed = time.Now()
		s.mu.Unlock()
	}
}
