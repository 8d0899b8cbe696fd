package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// kind is the kind of server that a contender needs.
type kind uint8

const (
	plain    kind = iota // no persistence
	everysec             // appendonly yes, flushed every second
	none                 // no server
	kinds
)

// servers are started when they are first needed.
type servers [kinds]*server

func (s *servers) get(ctx context.Context, k kind) (*server, error) {
	if k == none {
		return nil, nil
	}
	if s[k] == nil {
		var args []string
		if k == everysec {
			args = []string{"--appendonly", "yes", "--appendfsync", "everysec"}
		}
		srv, err := startServer(ctx, args...)
		if err != nil {
			return nil, fmt.Errorf("redis-server: %w", err)
		}
		s[k] = srv
	}
	return s[k], nil
}

func (s *servers) stop() {
	for _, srv := range s {
		if srv != nil {
			srv.stop()
		}
	}
}

// server is a redis-server that the benchmark has started.
type server struct {
	addr   string
	dir    string
	cmd    *exec.Cmd
	client *redis.Client
}

func startServer(ctx context.Context, args ...string) (*server, error) {
	for try := 0; ; try++ { // another process may take the port first
		s, err := tryServer(ctx, args)
		if err == nil || try == 4 || errors.Is(err, exec.ErrNotFound) {
			return s, err
		}
	}
}

func tryServer(ctx context.Context, args []string) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	_ = l.Close()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	s := &server{addr: addr, dir: dir}
	s.cmd = exec.Command("redis-server", append([]string{
		"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no",
	}, args...)...)
	if err := s.cmd.Start(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	s.client = redis.NewClient(&redis.Options{Addr: addr, PoolSize: 128})
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := s.client.Ping(ctx).Err()
		if err == nil {
			return s, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			s.stop()
			return nil, err
		}
	}
}

func (s *server) stop() {
	_ = s.client.Close()
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	_ = os.RemoveAll(s.dir)
}

func (s *server) url() string { return "redis://" + s.addr + "/0" }

// info returns a numeric field of INFO.
func (s *server) info(ctx context.Context, section, field string) (float64, error) {
	text, err := s.client.Info(ctx, section).Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, fmt.Errorf("INFO %s has no %s", section, field)
}

// cpu returns the CPU time that the server has used, in seconds.
func (s *server) cpu(ctx context.Context) (float64, error) {
	user, err := s.info(ctx, "cpu", "used_cpu_user")
	if err != nil {
		return 0, err
	}
	sys, err := s.info(ctx, "cpu", "used_cpu_sys")
	return user + sys, err
}

// commands counts the commands that clients issue within d. Commands that scripts call do not
// count, and neither do those of the benchmark itself.
func (s *server) commands(ctx context.Context, d time.Duration) (int, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		return 0, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return 0, err
	}
	n := 0
	for lines := bufio.NewReader(conn); ; {
		line, err := lines.ReadString('\n')
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			return n, nil
		case err != nil:
			return n, err
		case fromClient(line):
			n++
		}
	}
}

// fromClient reports whether a line of MONITOR is a command of a client.
func fromClient(line string) bool {
	_, rest, ok := strings.Cut(line, "[")
	if !ok {
		return false // the +OK of MONITOR itself
	}
	from, _, _ := strings.Cut(rest, "]")
	return !strings.HasSuffix(from, " lua")
}
