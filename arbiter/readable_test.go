package arbiter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// The rows of the table in docs/security.md, each with a word that the test searches for. The output of isolated tasks has a
// test in package minion.
var readable = []struct{ row, word string }{
	{"| arguments | Redis |", "argument-word"},
	{"| results | Redis |", "result-word"},
	{"| events | Redis |", "event-word"},
	{"| results among the arguments of a step | Redis |", "result-word"},
	{"| error messages | Redis |", "error-word"},
	{"| panic messages | Redis |", "panic-word"},
	{"| last failures | Redis |", "retry-word"},
	{"| unique keys | Redis |", "unique-word"},
	{"| metadata | Redis |", "meta-word"},
	{"| error messages | logs |", "error-word"},
	{"| panic messages | logs |", "panic-word"},
	{"| values that can't be decoded | Redis, logs |", "undecodable-word"},
	{"| values that can't be decoded | Redis, logs |", "18446744071471147"},
	{"| names of tasks, queues, topics and unique scopes | Redis, logs |", "name-word"},
}

type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// dump returns all keys of a server with their contents.
func dump(t *testing.T, c *goredis.Client) string {
	t.Helper()
	ctx := t.Context()
	keys, err := c.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, key := range keys {
		var v any
		switch typ := c.Type(ctx, key).Val(); typ {
		case "string":
			v, err = c.Get(ctx, key).Result()
		case "list":
			v, err = c.LRange(ctx, key, 0, -1).Result()
		case "hash":
			v, err = c.HGetAll(ctx, key).Result()
		case "set":
			v, err = c.SMembers(ctx, key).Result()
		case "zset":
			v, err = c.ZRange(ctx, key, 0, -1).Result()
		case "stream":
			v, err = c.XRange(ctx, key, "-", "+").Result()
		case "none":
			continue
		default:
			t.Fatalf("key %s is a %s", key, typ)
		}
		if err != nil && !errors.Is(err, goredis.Nil) {
			t.Fatal(err)
		}
		fmt.Fprintln(&out, key, v)
	}
	return out.String()
}

type word struct {
	Text string `arbiter:"text"`
}

type wordStep struct {
	Upstream string `arbiter:"upstream"`
}

// TestWhatCanBeRead checks each row of the table in docs/security.md, in both columns.
func TestWhatCanBeRead(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	doc, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	key := []byte("0123456789abcdef0123456789abcdef")
	sealed, err := codec.Encrypt(codec.Msgpack(), key)
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := codec.Hide(sealed)
	if err != nil {
		t.Fatal(err)
	}
	server := redistest.Start(t, path)
	for column, c := range []codec.Codec{sealed, hidden} {
		t.Run([]string{"sealed", "hidden"}[column], func(t *testing.T) {
			client := server.Client()
			if err := client.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			stored, logged := everything(t, server.URL(), client, c)
			for _, r := range readable {
				line := ""
				for l := range strings.Lines(string(doc)) {
					if strings.HasPrefix(l, r.row) {
						line = l
					}
				}
				cells := strings.Split(line, "|")
				if len(cells) < 5 {
					t.Errorf("docs/security.md has no row %s", r.row)
					continue
				}
				want := strings.TrimSpace(cells[3+column]) == "yes"
				for where, text := range map[string]string{"Redis": stored, "logs": logged} {
					if strings.Contains(cells[2], where) && strings.Contains(text, r.word) != want {
						t.Errorf("%s %s: can be read in %s: %v, and docs/security.md says %v", r.row, r.word, where, !want, want)
					}
				}
			}
		})
	}
}

// everything brings tasks into all states that they can be in. It returns all that was stored at any time, and logged.
func everything(t *testing.T, url string, client *goredis.Client, c codec.Codec) (stored, logged string) {
	t.Helper()
	var book logBook
	log := slog.New(slog.NewTextHandler(&book, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b, err := redis.Open(t.Context(), url, redis.Logger(log))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	arb, err := arbiter.New(b, arbiter.Codec(c), arbiter.Logger(log))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	give := task.Define[word, string]("name-word.give")
	take := task.Define[wordStep, int]("name-word.take")
	fail := task.Define[word, int]("name-word.fail")
	panics := task.Define[word, int]("name-word.panic")
	retried := task.Define[word, int]("name-word.retry")
	number := task.Define[args, int]("name-word.number")
	m := must(minion.New(b, minion.Codec(c), minion.Logger(log), minion.DrainTimeout(0)))
	if err := errors.Join(
		task.Handle(m, give, func(context.Context, word) (string, error) { return "result-word", nil }),
		task.Handle(m, take, func(_ context.Context, a wordStep) (int, error) { return len(a.Upstream), nil }),
		task.Handle(m, fail, func(context.Context, word) (int, error) {
			return 0, task.NoRetry(fmt.Errorf("error-word: %w", errors.New("chain-error-word")))
		}),
		task.Handle(m, panics, func(context.Context, word) (int, error) { panic("panic-word") }),
		task.Handle(m, retried, func(context.Context, word) (int, error) {
			return 0, task.RetryAfter(time.Hour, errors.New("retry-word"))
		}),
		task.Handle(m, number, func(context.Context, args) (int, error) { return 0, nil }),
	); err != nil {
		t.Fatal(err)
	}
	for _, opts := range [][]task.Option{{task.Unique("unique-word"), task.Meta("key", "meta-word")}, {task.Delay(time.Hour)}} {
		if _, err := give.With(opts...).Apply(ctx, arb, word{"argument-word"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := give.With(task.Unique("unique-word")).Apply(ctx, arb, word{"argument-word"}); !errors.Is(err, task.ErrDuplicate) {
		t.Errorf("a unique key is taken: %v", err)
	}
	step := task.NewStep[string](take, "upstream", nil)
	piped, err1 := task.Then(give.Bind(word{"argument-word"}), step).Send(ctx, arb)
	waits, err2 := task.Then(give.Bind(word{"argument-word"}), step.With(task.Queue("unserved"))).Send(ctx, arb)
	failed, err3 := fail.With(task.Meta("key", "meta-word")).Apply(ctx, arb, word{"argument-word"})
	panicked, err4 := panics.With(task.Retries(0)).Apply(ctx, arb, word{"argument-word"})
	again, err5 := retried.Apply(ctx, arb, word{"argument-word"})
	far, err8 := task.Named("name-word.number", task.KwArgs(map[string]any{"n": uint64(18446744071471147114)})).Send(ctx, arb)
	undecodable, err6 := task.Named("name-word.number", task.KwArgs(map[string]any{"n": "undecodable-word"})).Send(ctx, arb)
	err7 := arb.Emit(ctx, "name-word", "event-word")
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8); err != nil {
		t.Fatal(err)
	}
	stored = dump(t, client)
	go func() { _ = m.Run(context.Background(), 4) }()
	defer func() { _ = m.Close() }()
	if n, err := piped.Result(ctx); err != nil || n != len("result-word") {
		t.Errorf("a pipe: %d, %v", n, err)
	}
	// A process with the key can read everything.
	for what, fut := range map[string]*task.Future[int]{"error-word": failed, "panic-word": panicked} {
		_, err := fut.Result(ctx)
		st, stErr := arb.Status(ctx, fut.ID())
		if err == nil || !strings.Contains(err.Error(), what) || stErr != nil || st.Error == nil || !strings.Contains(st.Error.Message, what) {
			t.Errorf("%s: %v, %+v, %v", what, err, st.Error, stErr)
		}
	}
	for _, fut := range []*task.Future[any]{undecodable, far} {
		if _, err := fut.Result(ctx); !errors.Is(err, task.ErrBadArguments) {
			t.Errorf("what is no number: %v", err)
		}
	}
	for id, met := range map[task.ID]func(arbiter.Status) bool{
		again.ID(): func(st arbiter.Status) bool {
			return st.Error != nil && strings.Contains(st.Error.Message, "retry-word")
		},
		failed.ID(): func(st arbiter.Status) bool { return st.Meta["key"] == "meta-word" },
	} {
		for ctx.Err() == nil {
			st, err := arb.Status(ctx, id)
			if err == nil && met(st) {
				break
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
	for ctx.Err() == nil { // until the step that nobody runs has the result as its argument
		st, err := b.Members(ctx, waits.ID(), 1, 1, false)
		if err != nil {
			t.Fatal(err)
		}
		found, err := b.Lookup(ctx, []broker.ID{st[0].ID})
		if err == nil && found[0].State == broker.StatePending {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	if ctx.Err() != nil {
		t.Fatal(ctx.Err())
	}
	return stored + dump(t, client), book.String()
}
