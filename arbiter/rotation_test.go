package arbiter_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// rotationSteps returns the keys of the codec in each of the steps by which docs/security.md changes a key, as the words
// old and new.
func rotationSteps(t *testing.T) [][]string {
	t.Helper()
	text, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Keys\n")
	if !found {
		t.Fatal("docs/security.md has no section Keys")
	}
	var steps [][]string
	for _, m := range regexp.MustCompile("(?m)^[0-9]\\. .*`codec\\.Encrypt\\(c, ([a-z, ]+)\\)`\\.$").FindAllStringSubmatch(section, -1) {
		steps = append(steps, strings.Split(m[1], ", "))
	}
	if len(steps) != 3 {
		t.Fatalf("docs/security.md changes a key in the steps %v, want three", steps)
	}
	return steps
}

// change is one step of a change of a key: some processes have taken it and others have not.
type change struct {
	*testing.T
	b             broker.Broker
	topic         string
	before, after codec.Codec
	sender, next  *arbiter.Arbiter // with the codec before and with the codec after

	children atomic.Int32 // how often the task that a task sends has run
	attempts atomic.Int32 // how often the task that sends has run
	fails    atomic.Bool  // attempts of the task that sends fail
}

type repeatedArgs struct{}

var (
	repeatedTask = task.Define[repeatedArgs, int]("parent", task.Retries(10_000))
	childTask    = task.Define[args, int]("child")
)

// during runs a minion with a codec while fn runs.
func (c *change) during(of codec.Codec, fn func()) {
	c.Helper()
	m := must(minion.New(c.b, minion.Logger(silent), minion.Codec(of)))
	if err := errors.Join(
		task.Handle(m, work, moody),
		task.Handle(m, plusTask, func(_ context.Context, a addArgs) (int, error) { return a.Upstream + a.N, nil }),
		task.Handle(m, childTask, func(_ context.Context, a args) (int, error) {
			c.children.Add(1)
			return a.N, nil
		}),
		task.Handle(m, repeatedTask, func(ctx context.Context, _ repeatedArgs) (int, error) {
			info, _ := task.FromContext(ctx)
			n, err := childTask.Call(ctx, info, args{42})
			c.attempts.Add(1)
			if err == nil && c.fails.Load() {
				err = task.RetryAfter(time.Millisecond, errBad)
			}
			return n, err
		}),
	); err != nil {
		c.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- m.Run(context.Background(), 2) }()
	defer func() {
		_ = m.Close()
		if err := <-done; err != nil && !errors.Is(err, task.ErrClosed) {
			c.Errorf("run: %v", err)
		}
	}()
	fn()
}

// inFlight holds the futures of a task, of a pipe, and of a task that fails. One process has sent them.
type inFlight struct {
	fut, pipe, bad *task.Future[int]
}

func (c *change) send(ctx context.Context, arb *arbiter.Arbiter, n int) (s inFlight) {
	c.Helper()
	var err error
	send := func(call task.Call[int]) *task.Future[int] {
		fut, one := call.Send(ctx, arb)
		err = errors.Join(err, one)
		return fut
	}
	s.fut, s.pipe, s.bad = send(work.Bind(args{n})), send(task.Then(work.Bind(args{n}), plus(1))), send(work.Bind(args{0}))
	if err != nil {
		c.Fatal(err)
	}
	return s
}

// read reads the results with an arbiter that may be another one than the sender.
func (c *change) read(ctx context.Context, what string, arb *arbiter.Arbiter, s inFlight, want int) {
	c.Helper()
	if n, err := task.NewFuture[int](arb, s.fut.ID()).Result(ctx); n != want || err != nil {
		c.Errorf("%s: the task returned %d, %v; want %d", what, n, err, want)
	}
	if n, err := task.NewFuture[int](arb, s.pipe.ID()).Result(ctx); n != want+1 || err != nil {
		c.Errorf("%s: the pipe returned %d, %v; want %d", what, n, err, want+1)
	}
	var remote *task.RemoteError
	if _, err := task.NewFuture[int](arb, s.bad.ID()).Result(ctx); !errors.As(err, &remote) || remote.Message != errBad.Error() {
		c.Errorf("%s: the task that fails returned %v, want %v", what, err, errBad)
	}
}

// tasksInFlight sends tasks with one codec and runs them with the other one, in both directions. Processes with either codec
// read the results.
func (c *change) tasksInFlight(ctx context.Context) {
	c.Helper()
	old := c.send(ctx, c.sender, 1)
	c.during(c.after, func() {
		c.read(ctx, "sent before and run after, read before", c.sender, old, 1)
		c.read(ctx, "sent before and run after, read after", c.next, old, 1)
	})
	young := c.send(ctx, c.next, 2)
	c.during(c.before, func() {
		c.read(ctx, "sent after and run before, read before", c.sender, young, 2)
		c.read(ctx, "sent after and run before, read after", c.next, young, 2)
	})
	for topic, arbs := range map[string][2]*arbiter.Arbiter{c.topic + "-old": {c.sender, c.next}, c.topic + "-new": {c.next, c.sender}} {
		if err := arbs[0].Emit(ctx, topic, 5); err != nil {
			c.Error(err)
		}
		for event, err := range arbs[1].Listen(ctx, topic, broker.CursorStart) {
			var n int
			if err == nil {
				err = event.Decode(&n)
			}
			if n != 5 || err != nil {
				c.Errorf("the event is %d, %v; want 5", n, err)
			}
			break
		}
	}
}

// sendsOnce starts a task that sends another one. The attempts before the change fail, and the attempt after it finds the
// task that was sent.
func (c *change) sendsOnce(ctx context.Context) {
	c.Helper()
	c.children.Store(0)
	c.attempts.Store(0)
	c.fails.Store(true)
	fut, err := repeatedTask.Apply(ctx, c.sender, repeatedArgs{})
	if err != nil {
		c.Fatal(err)
	}
	c.during(c.before, func() {
		for c.attempts.Load() == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
	})
	c.fails.Store(false)
	c.during(c.after, func() {
		if n, err := fut.Result(ctx); n != 42 || err != nil {
			c.Errorf("the task that sends returned %d, %v; want 42", n, err)
		}
	})
	if n := c.children.Load(); n != 1 {
		c.Errorf("the task that was sent by a repeated task ran %d times, want once", n)
	}
}

// oneHolder sends two tasks with the same unique key. The second is refused.
func (c *change) oneHolder(ctx context.Context) {
	c.Helper()
	later := work.With(task.Unique("key"), task.Delay(time.Hour))
	holder, err := later.Apply(ctx, c.sender, args{1})
	if err != nil {
		c.Fatal(err)
	}
	var dup *task.DuplicateError
	if _, err := later.Apply(ctx, c.next, args{2}); !errors.As(err, &dup) || dup.Holder != holder.ID() {
		c.Errorf("a second task with the unique key was sent with the error %v, want that %s has it", err, holder.ID())
	}
	if _, err := c.next.Kill(ctx, holder.ID()); err != nil {
		c.Error(err)
	}
}

// The key of a codec is changed by the steps of docs/security.md. In each step some processes have taken the step and others
// have not. Tasks that were sent before it run after it, and the other way round, and every process reads the results. With
// a key of their own the fingerprints stay; that can be the old key, which made them before.
func TestKeyIsChanged(t *testing.T) {
	keys := map[string][]byte{
		"old": []byte("0123456789abcdef0123456789abcdef"),
		"new": []byte("fedcba9876543210fedcba9876543210"),
	}
	steps := append([][]string{{"old"}}, rotationSteps(t)...)
	stage := func(t *testing.T, prints []byte, names []string) codec.Codec {
		t.Helper()
		var more [][]byte
		for _, name := range names[1:] {
			more = append(more, keys[name])
		}
		c, err := codec.Encrypt(codec.Compress(codec.Msgpack()), keys[names[0]], more...)
		if err == nil && prints != nil {
			c, err = codec.FingerprintWith(c, prints)
		}
		if err == nil {
			c, err = codec.Hide(c)
		}
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	own := []byte("the key of the fingerprints")
	for what, prints := range map[string][2][]byte{
		"a key of its own from the start": {own, own},
		"the old key from the first step": {nil, keys["old"]},
	} {
		t.Run(what, func(t *testing.T) {
			onEach(t, func(t *testing.T, b broker.Broker) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				for i, step := range steps[1:] {
					first := prints[1]
					if i == 0 {
						first = prints[0]
					}
					c := &change{T: t, b: b, topic: strings.Join(step, "."), before: stage(t, first, steps[i]), after: stage(t, prints[1], step)}
					for arb, of := range map[**arbiter.Arbiter]codec.Codec{&c.sender: c.before, &c.next: c.after} {
						var err error
						if *arb, err = arbiter.New(b, arbiter.Codec(of), arbiter.Logger(silent)); err != nil {
							t.Fatal(err)
						}
						defer func() { _ = (*arb).Close() }()
					}
					c.tasksInFlight(ctx)
					c.sendsOnce(ctx)
					c.oneHolder(ctx)
					if t.Failed() {
						t.Fatalf("this was the step from the keys %v to the keys %v", steps[i], step)
					}
				}
			})
		})
	}
}
