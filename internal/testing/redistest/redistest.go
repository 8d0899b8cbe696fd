// Package redistest starts Redis servers for tests.
package redistest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Env is the name of the environment variable for a machine without redis-server. With the value
// "require" the tests fail there.
const Env = "ARBITER_TEST_REDIS"

// Path returns the path of redis-server. If there is none, it logs why and returns "", or fails the
// test if a server is required.
func Path(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err == nil {
		return path
	}
	if os.Getenv(Env) == "require" {
		t.Fatalf("%s=require, but there is no redis-server: %v", Env, err)
	}
	t.Logf("the test needs a redis-server and does not run: %v (set %s=require to make that a failure)", err, Env)
	return ""
}

// Server is a redis-server that a test has started.
type Server struct {
	Addr string
	path string
	args []string
	t    testing.TB

	mu     sync.Mutex
	proc   *os.Process
	exited chan struct{} // closed when the process has ended
	killed bool          // ended by Kill
	thawed time.Time     // when Freeze last let the process go on
}

// Start starts a server without persistence on a free port, with more arguments for redis-server.
// It is stopped at the end of the test.
func Start(t testing.TB, path string, args ...string) *Server {
	t.Helper()
	return startOn(t, path, func(port int) []string {
		return append(append(plain(t), "--port", fmt.Sprint(port)), args...)
	})
}

// plain returns the arguments of a server without persistence.
func plain(t testing.TB) []string {
	return []string{"--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "", "--appendonly", "no"}
}

// startOn starts a server on a free port. args returns its arguments for a port.
func startOn(t testing.TB, path string, args func(port int) []string) *Server {
	t.Helper()
	var err error
	for range 5 { // a process that is no test may take the port first
		port := freePort(t)
		s := &Server{Addr: fmt.Sprintf("127.0.0.1:%d", port), path: path, args: args(port), t: t}
		if err = s.run(); err == nil {
			t.Cleanup(s.Kill)
			return s
		}
	}
	t.Fatalf("start %s: %v", path, err)
	return nil
}

// freePort returns a port on which no process listens, and reserves it until the end of the test: no
// other test gets it, also in another process, and also while the server on it is down. Each test
// holds the UDP port of the same number for that; Redis uses TCP. The port is below the range that
// systems use for outgoing connections, so none of those takes it either.
func freePort(t testing.TB) int {
	t.Helper()
	const from, to = 15_000, 32_000
	var err error
	for range 100 {
		port := from + rand.IntN(to-from)
		if err = reserve(t, port); err == nil {
			return port
		}
	}
	t.Fatal(err)
	return 0
}

// reserve reserves a port until the end of the test, unless another test has it or a process listens
// on it.
func reserve(t testing.TB, port int) error {
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	held, err := net.ListenPacket("udp", addr)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		_ = held.Close()
		return err
	}
	t.Cleanup(func() { _ = held.Close() })
	return l.Close()
}

// launch starts the process.
func (s *Server) launch(args []string) error {
	cmd := exec.Command(s.path, args...)
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	s.mu.Lock()
	s.proc, s.exited, s.killed = cmd.Process, exited, false
	s.mu.Unlock()
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	return nil
}

// run starts the process, and waits until it answers. An error that asks for a password is an
// answer too.
func (s *Server) run(args ...string) error {
	if err := s.launch(append(slices.Clone(s.args), args...)); err != nil {
		return err
	}
	client := s.client()
	defer func() { _ = client.Close() }()
	for deadline := time.Now().Add(10 * time.Second); ; {
		var err error
		if s.tls() {
			err = speaksTLS(s.Addr)
		} else if err = listens(s.Addr); err == nil {
			err = s.answers(client)
		}
		if err == nil || redis.HasErrorPrefix(err, "NOAUTH") {
			return nil
		}
		if time.Now().After(deadline) {
			s.Kill()
			return err
		}
		select {
		case <-s.exited:
			return errors.New("redis-server ended at once")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// answers reports whether this process answers on the port, and not another server that has taken
// it.
func (s *Server) answers(client *redis.Client) error {
	if err := client.Ping(context.Background()).Err(); err != nil {
		return err
	}
	info, err := client.Info(context.Background(), "server").Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", s.pid())) {
		return fmt.Errorf("another server listens on %s", s.Addr)
	}
	return nil
}

func (s *Server) tls() bool { return slices.Contains(s.args, "--tls-port") }

func listens(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	return c.Close()
}

// speaksTLS reports whether a server completes a TLS handshake, whatever its certificate.
func speaksTLS(addr string) error {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Second}, "tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return err
	}
	return c.Close()
}

// URL returns the URL of the server for redis.Open.
func (s *Server) URL() string { return "redis://" + s.Addr + "/0" }

// Dir returns the folder of the server's files.
func (s *Server) Dir() string { return s.args[slices.Index(s.args, "--dir")+1] }

// Client returns a client of the server. It is closed at the end of the test.
func (s *Server) Client() *redis.Client {
	c := s.client()
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *Server) client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, DialerRetries: 1})
}

// Kill ends the server with SIGKILL. It may be called twice.
func (s *Server) Kill() {
	s.mu.Lock()
	proc, exited := s.proc, s.exited
	s.killed = true
	s.mu.Unlock()
	if proc != nil {
		_ = proc.Kill()
		<-exited
	}
}

// pid returns the id of the process.
func (s *Server) pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.Pid
}

// thawedAfter reports whether Freeze has let the process go on after the given time.
func (s *Server) thawedAfter(at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.thawed.After(at)
}

// Ended reports whether the server has ended although Kill was not called.
func (s *Server) Ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil || s.killed {
		return false
	}
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

// Revive starts a server again that has ended by itself, unless it is killed or started in the
// meantime.
func (s *Server) Revive() {
	if s.Ended() {
		_ = s.run()
	}
}

// Restart starts the server again after Kill, on the same port and folder and with more arguments.
// It waits until the server answers.
func (s *Server) Restart(args ...string) {
	s.t.Helper()
	if err := s.run(args...); err != nil {
		s.t.Fatalf("restart redis-server: %v", err)
	}
}

// Launch is Restart without waiting: the server may still be loading its file.
func (s *Server) Launch(args ...string) {
	s.t.Helper()
	if err := s.launch(append(slices.Clone(s.args), args...)); err != nil {
		s.t.Fatalf("launch redis-server: %v", err)
	}
}
