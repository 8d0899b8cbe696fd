package redis_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// heardLog keeps all lines that are logged.
type heardLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (k *heardLog) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.buf.Write(p)
}

func (k *heardLog) has(part string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Contains(k.buf.String(), part)
}

func (k *heardLog) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(k, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// saysClient is the message under which the lines of the client library are logged.
const saysClient = "message of go-redis"

// When a server dies, the client library writes nothing to stderr: its lines are in the logs of all
// open brokers. The test runs in a process of its own, in order to see its stderr and to have a
// client library whose logger no other test has replaced.
func TestClientLog(t *testing.T) {
	path := redistest.Path(t)
	if path == "" {
		return
	}
	if os.Getenv("ARBITER_TEST_CLIENT_LOG") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestClientLog$")
		cmd.Env = append(os.Environ(), "ARBITER_TEST_CLIENT_LOG=1")
		var out, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &stderr
		if err := cmd.Run(); err != nil {
			t.Errorf("%v\n%s", err, &out)
		}
		if stderr.Len() > 0 {
			t.Errorf("on stderr:\n%s", &stderr)
		}
		return
	}
	s := redistest.Start(t, path)
	var one, two, closed heardLog
	a := open(t, s.URL(), redis.Logger(one.logger()))
	open(t, s.URL(), redis.Logger(two.logger()))
	ended := open(t, s.URL(), redis.Logger(closed.logger()))
	if err := ended.Close(); err != nil {
		t.Fatal(err)
	}
	c := consume(t, a, broker.ConsumerConfig{Queues: []string{"q"}})
	waits := make(chan error, 1)
	go func() {
		_, err := c.Dequeue(context.Background(), []string{"q"}, 1, time.Minute)
		waits <- err
	}()
	sub, err := a.Subscribe(t.Context(), "t", broker.CursorNow)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	s.Kill()
	if err := <-waits; err == nil {
		t.Error("Dequeue returned no error, though the server died")
	}
	for end := time.Now().Add(10 * time.Second); !one.has(saysClient) || !two.has(saysClient); {
		if err := a.Enqueue(t.Context(), []*broker.Task{newTask("q")}); err == nil {
			t.Fatal("the server is alive")
		}
		if time.Now().After(end) {
			t.Fatalf("the lines of the client library are in the logs: %v and %v, want true and true", one.has(saysClient), two.has(saysClient))
		}
	}
	if closed.has(saysClient) {
		t.Error("the lines of the client library are in the log of a closed broker")
	}
	// The program may set another logger for the client library, and a later Open leaves it.
	var own ownLog
	goredis.SetLogger(&own)
	open2, err := redis.Open(t.Context(), s.URL(), redis.Logger(two.logger()))
	if err == nil {
		_ = open2.Close()
		t.Fatal("the server is alive")
	}
	if !own.called() {
		t.Error("a later Open has replaced the logger that the program had set")
	}
}

type ownLog struct {
	mu sync.Mutex
	n  int
}

func (o *ownLog) Printf(context.Context, string, ...any) {
	o.mu.Lock()
	o.n++
	o.mu.Unlock()
}

func (o *ownLog) called() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.n > 0
}
