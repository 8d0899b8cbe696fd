//go:build unix

package e2e

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/internal/testing/stall"
)

// nowhere returns an address on which no process listens.
func nowhere(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// If no server listens on the address, Open returns an error at once, and the error names the
// address.
func TestAbsentServer(t *testing.T) {
	t.Parallel()
	addr, busy := nowhere(t), stall.Start(t)
	for _, url := range []string{
		"redis://" + addr + "/0",
		"rediss://" + addr + "/0",
		"redis+sentinel://" + addr + "/mymaster/0",
		"redis+cluster://" + addr,
	} {
		began := time.Now()
		_, err := redis.Open(t.Context(), url)
		if !errors.Is(err, broker.ErrUnavailable) || !strings.Contains(err.Error(), addr) {
			t.Errorf("%s: %v", url, err)
		}
		if d := time.Since(began); d > busy.Late(5*time.Second) {
			t.Errorf("Open of %s returned only after %v", url, d)
		}
		t.Logf("%v: %v", time.Since(began).Round(time.Millisecond), err)
	}
}

// The same for a process: it ends with the error.
func TestAbsentServerForProcess(t *testing.T) {
	t.Parallel()
	addr, busy := nowhere(t), stall.Start(t)
	for _, role := range []string{"minion", "arbiter"} {
		began := time.Now()
		p := proc.Start(t, role, config{URL: "redis://secret:password@" + addr + "/0", Tasks: 1})
		if status := p.Wait(t); status != 1 || !strings.Contains(p.Output(), addr) || strings.Contains(p.Output(), "password") {
			t.Errorf("a process with the role %s ended with status %d and printed %s", role, status, p.Output())
		}
		if d := time.Since(began); d > busy.Late(10*time.Second) {
			t.Errorf("a process with the role %s ended only after %v", role, d)
		}
	}
}
