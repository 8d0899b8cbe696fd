// Package redistest starts Redis servers for tests.
package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Env is the environment variable that says whether a missing redis-server is
// a failure: require.
const Env = "ARBITER_TEST_REDIS"

// Path returns where redis-server is, or "" with the reason logged if there is
// none. It fails the test if one is required.
func Path(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err == nil {
		return path
	}
	if os.Getenv(Env) == "require" {
		t.Fatalf("%s=require, and there is no redis-server: %v", Env, err)
	}
	t.Logf("tests on a real redis-server are left out: %v (set %s=require to make that a failure)", err, Env)
	return ""
}

// Server is a redis-server of a test's own.
type Server struct {
	Addr string
	cmd  *exec.Cmd
	args []string
	t    testing.TB
}

// Start starts a server without persistence on a free port, with further
// arguments as for the command. The test's end stops it.
func Start(t testing.TB, path string, args ...string) *Server {
	t.Helper()
	var err error
	for range 5 { // another process may take the port first
		var s *Server
		if s, err = start(t, path, freePort(t), args); err == nil {
			t.Cleanup(s.Kill)
			return s
		}
	}
	t.Fatalf("start %s: %v", path, err)
	return nil
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func start(t testing.TB, path string, port int, args []string) (*Server, error) {
	s := &Server{Addr: fmt.Sprintf("127.0.0.1:%d", port), t: t}
	s.args = append([]string{
		"--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--dir", t.TempDir(),
		"--save", "", "--appendonly", "no",
	}, args...)
	s.cmd = exec.Command(path, s.args...)
	return s, s.run()
}

func (s *Server) run() error {
	if err := s.cmd.Start(); err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1})
	defer func() { _ = client.Close() }()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := client.Ping(context.Background()).Err()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			s.Kill()
			return err
		}
	}
}

// Kill ends the server as SIGKILL does. It may be called twice.
func (s *Server) Kill() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// Restart starts the server again after Kill, on the same port and folder.
func (s *Server) Restart() {
	s.t.Helper()
	s.cmd = exec.Command(s.cmd.Path, s.args...)
	if err := s.run(); err != nil {
		s.t.Fatalf("restart redis-server: %v", err)
	}
}
