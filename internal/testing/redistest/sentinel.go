package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Sentinel is a master with a replica, and the sentinels that watch them.
type Sentinel struct {
	Name      string // name of the master
	Nodes     [2]*Server
	Sentinels []*Server
}

// StartSentinel starts a master, its replica, and n sentinels. The sentinels regard the master as
// down after one second without an answer.
func StartSentinel(t testing.TB, path string, n int) *Sentinel {
	t.Helper()
	s := &Sentinel{Name: "mymaster"}
	s.Nodes[0] = Start(t, path)
	host, port, _ := net.SplitHostPort(s.Nodes[0].Addr)
	s.Nodes[1] = Start(t, path, "--replicaof", host+" "+port, "--repl-diskless-sync-delay", "0")
	wait(t, "the replica is in sync", func() bool {
		info := s.Nodes[1].Client().Info(context.Background(), "replication").Val()
		return strings.Contains(info, "master_link_status:up")
	})
	for range n {
		dir := t.TempDir()
		conf := filepath.Join(dir, "sentinel.conf")
		text := fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s %[4]d\nsentinel down-after-milliseconds %[1]s 1000\nsentinel failover-timeout %[1]s 4000\n",
			s.Name, host, port, n/2+1)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Sentinels = append(s.Sentinels, startOn(t, path, func(port int) []string {
			return []string{conf, "--sentinel", "--bind", "127.0.0.1", "--dir", dir, "--port", fmt.Sprint(port)}
		}))
	}
	wait(t, "the sentinels know each other and the replica", func() bool {
		for _, one := range s.Sentinels {
			state := one.Client().Do(context.Background(), "info", "sentinel").String()
			if !strings.Contains(state, fmt.Sprintf("slaves=1,sentinels=%d", n)) {
				return false
			}
		}
		return true
	})
	return s
}

// URL returns the URL of the sentinels for redis.Open.
func (s *Sentinel) URL() string {
	addrs := make([]string, len(s.Sentinels))
	for i, one := range s.Sentinels {
		addrs[i] = one.Addr
	}
	return "redis+sentinel://" + strings.Join(addrs, ",") + "/" + s.Name + "/0"
}

// wait waits for an event that takes less than 20 seconds.
func wait(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("this has not happened in time: %s", what)
		}
	}
}
