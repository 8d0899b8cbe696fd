//go:build unix

package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/task"
)

// login starts a server with two users: "all" has all rights, and "weak" may only read.
func login(t *testing.T) (addr string) {
	t.Helper()
	path := redistest.Path(t)
	if path == "" {
		return ""
	}
	s := redistest.Start(t, path)
	for _, rule := range [][]any{
		{"acl", "setuser", "all", "on", ">secret", "~*", "&*", "+@all"},
		{"acl", "setuser", "weak", "on", ">secret", "~*", "&*", "+@read", "+@connection", "+@pubsub", "-info"},
		{"acl", "setuser", "default", "off"},
	} {
		if err := s.Client().Do(t.Context(), rule...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	return s.Addr
}

func TestLogin(t *testing.T) {
	t.Parallel()
	addr := login(t)
	if addr == "" {
		return
	}
	for url, want := range map[string]string{
		"redis://" + addr + "/0":            "NOAUTH",
		"redis://all:wrong@" + addr + "/0":  "WRONGPASS",
		"redis://nobody:abc@" + addr + "/0": "WRONGPASS",
	} {
		err := refusal(t, url)
		if !errors.Is(err, broker.ErrInvalid) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), addr) {
			t.Errorf("Open of %s returned %v, want %s", url, err, want)
		}
	}
	for url, opts := range map[string][]redis.Option{
		"redis://all:secret@" + addr + "/0": {redis.Namespace("by-url")},
		"redis://" + addr + "/0":            {redis.Namespace("by-option"), redis.Login("all", "secret")},
	} {
		r := newRig(t, url, opts...)
		r.minion()
		r.results(r.send(3, args{}))
		r.cfg.Ledger.once(t, 3)
	}
}

// A user without the necessary rights gets an error that says so, and a minion does not retry for
// ever.
func TestNoRights(t *testing.T) {
	t.Parallel()
	addr := login(t)
	if addr == "" {
		return
	}
	r := newRig(t, "redis://weak:secret@"+addr+"/0")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := work.Bind(args{}).Send(ctx, r.arb)
	told := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, broker.ErrInvalid) || errors.Is(err, broker.ErrUnavailable) ||
			!strings.Contains(err.Error(), "NOPERM") || !strings.Contains(err.Error(), addr) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", what, err)
		}
	}
	told("send", err)
	told("minion", r.cfg.serve(ctx, r.logs.logger(), func() {}, r.opts...))
}

// refusal opens a broker that refuses this client, and returns the error. If the machine is too busy
// for an answer, which is another error, refusal opens it again.
func refusal(t *testing.T, url string) error {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		b, err := redis.Open(t.Context(), url)
		if err == nil {
			_ = b.Close()
		}
		if !errors.Is(err, broker.ErrUnavailable) || time.Now().After(end) {
			return err
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s, conf := redistest.StartTLS(t, path, "--requirepass", "secret")
	url := "rediss://:secret@" + s.Addr + "/0"
	if err := refusal(t, url); !errors.Is(err, broker.ErrInvalid) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("Open of a server with an untrusted certificate returned %v", err)
	}
	for _, queues := range [][]string{{"one"}, {"two", "three"}} {
		r := newRig(t, url, redis.TLS(conf))
		r.minion(func(c *config) { c.Queues = queues })
		r.results(r.send(5, args{}, task.Queue(queues[0])))
		r.cfg.Ledger.once(t, 5)
	}
	if err := refusal(t, "redis://:secret@"+s.Addr+"/0"); !errors.Is(err, broker.ErrInvalid) {
		t.Errorf("Open without TLS returned %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	dir, err := os.MkdirTemp("", "") //nolint:usetesting // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	redistest.Start(t, path, "--unixsocket", socket)
	r := newRig(t, "unix://"+socket+"?db=3")
	r.minion()
	r.results(r.send(5, args{}))
	r.cfg.Ledger.once(t, 5)
}
