//go:build unix

package redistest

import (
	"syscall"
	"time"
)

// Freeze stops the process as SIGSTOP does, or lets it go on: its connections
// stay open and say nothing.
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
