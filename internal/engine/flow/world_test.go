package flow_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/internal/engine/flow"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var silent = slog.New(slog.DiscardHandler)

// The arguments of the tasks of these tests. world.run runs the tasks.
type (
	numArgs struct {
		N int `arbiter:"n"`
	}
	addArgs struct {
		Upstream int `arbiter:"upstream"`
		N        int `arbiter:"n"`
	}
	sumArgs struct {
		Upstream []int `arbiter:"upstream"`
	}
)

var (
	work    = task.Define[numArgs, int]("work") // fails if n is negative
	other   = task.Define[numArgs, int]("work", task.Queue("other"))
	addTask = task.Define[addArgs, int]("add")
	sumTask = task.Define[sumArgs, int]("sum", task.Queue("other"))
)

func plus(n int) task.Step[int, int] {
	return task.NewStep[int](addTask, "upstream", map[string]any{"n": n})
}

func sum() task.Step[[]int, int] { return task.NewStep[[]int](sumTask, "upstream", nil) }

var queues = []string{"default", "other"}

// world is a broker with a consumer that runs tasks when run is called, and a driver that can
// die at one of its calls.
type world struct {
	testing.TB
	b        broker.Broker
	bad      *faulty.Broker // drivers use b through it
	c        *client.Client
	worker   broker.Consumer
	driver   *flow.Driver
	ran      map[string]int // how often each task has run
	deaths   int            // of drivers
	idle     time.Duration  // the pause when nothing can be done
	patience int            // the number of such pauses until a test fails

	mu     sync.Mutex
	calls  int  // calls of the driver so far
	lethal int  // the number of the call at which the driver dies; 0 is none
	after  bool // it dies after the call instead of before it
	dead   bool // it has died: all its calls fail
}

var errDead = errors.New("the driver is dead")

func newWorld(t testing.TB, lethal int, after bool) *world {
	t.Helper()
	return worldOf(t, memory.New(), lethal, after)
}

func worldOf(t testing.TB, b broker.Broker, lethal int, after bool) *world {
	t.Helper()
	w := &world{TB: t, b: b, idle: time.Second, patience: 3, ran: make(map[string]int), lethal: lethal, after: after}
	w.bad = faulty.New(w.b)
	w.bad.Set(faulty.Hooks{
		Before: func(context.Context, faulty.Op, int) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.calls++; w.calls == w.lethal && !w.after {
				w.dead = true
			}
			return w.death()
		},
		After: func(faulty.Op, int) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.calls == w.lethal && w.after {
				w.dead = true
			}
			return w.death()
		},
	})
	w.c = client.New(client.Config{Broker: w.b, Logger: silent})
	var err error
	w.worker, err = w.b.Consume(context.Background(), broker.ConsumerConfig{Queues: queues, Slots: 1000})
	if err != nil {
		t.Fatal(err)
	}
	w.reborn()
	return w
}

// death returns the error of a call of a dead driver. w.mu is held.
func (w *world) death() error {
	if w.dead {
		return errDead
	}
	return nil
}

// reborn replaces the driver by one that is alive.
func (w *world) reborn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		w.deaths++
	}
	w.dead = false
	w.driver = &flow.Driver{Broker: w.bad, Log: silent}
}

func (w *world) close() {
	_ = w.c.Close()
	_ = w.worker.Close(context.Background())
	_ = w.b.Close()
}

// send submits a call and returns its id.
func (w *world) send(call task.Bound) broker.ID {
	w.Helper()
	if err := w.c.Submit(context.Background(), call); err != nil {
		w.Fatal(err)
	}
	return call.Request().ID()
}

// outcome drains and runs tasks until the flow has ended.
func (w *world) outcome(id broker.ID) *broker.Outcome {
	w.Helper()
	idle := 0
	for {
		w.drain()
		p, err := w.b.(broker.Flows).LookupFlow(context.Background(), id)
		if err != nil {
			w.Fatal(err)
		}
		n := w.run()
		if p.Outcome != nil && n == 0 {
			return p.Outcome
		}
		if n > 0 {
			idle = 0
		} else if idle++; idle > w.patience {
			w.Fatalf("nothing happens any more: %+v", p)
		}
		if n == 0 {
			time.Sleep(w.idle)
		}
	}
}

// drain lets the driver handle all arrivals. If it dies, another one goes on.
func (w *world) drain() {
	w.Helper()
	for _, queue := range append(queues, "") {
		for try := 0; ; try++ {
			err := w.driver.Drain(context.Background(), queue)
			if err == nil {
				break
			}
			if !errors.Is(err, errDead) || try > 2 {
				w.Fatalf("drain: %v", err)
			}
			w.reborn()
		}
	}
}

// run runs all pending tasks, and returns how many there were.
func (w *world) run() int {
	w.Helper()
	got, err := w.worker.Dequeue(context.Background(), queues, 1000, time.Millisecond)
	if err != nil {
		w.Fatal(err)
	}
	var batch []broker.Settlement
	for _, d := range got {
		batch = append(batch, broker.Settlement{Delivery: d, Outcome: w.handle(d)})
	}
	errs, err := w.worker.Settle(context.Background(), batch)
	if err != nil || errors.Join(errs...) != nil {
		w.Fatal(err, errs)
	}
	return len(got)
}

// handle runs a task and returns its outcome.
func (w *world) handle(d *broker.Delivery) broker.Outcome {
	w.Helper()
	o := broker.Outcome{State: broker.StateSucceeded, Codec: d.Codec, Name: d.Name}
	n, err := w.result(d)
	w.ran[fmt.Sprintf("%s %d", d.Name, n)]++
	if err != nil {
		o.State, o.Err = broker.StateFailed, task.NewFailure(err)
	} else {
		o.Result, _ = codec.Msgpack().AppendValue(nil, n)
	}
	return o
}

// result returns the result of a task.
func (w *world) result(d *broker.Delivery) (int, error) {
	w.Helper()
	var err error
	var num numArgs
	var add addArgs
	var list sumArgs
	switch d.Name {
	case "work":
		err = codec.Msgpack().DecodeArgs(d.Payload, &num)
		if err == nil && num.N < 0 {
			return num.N, errors.New("negative")
		}
	case "add":
		err = codec.Msgpack().DecodeArgs(d.Payload, &add)
		num.N = add.Upstream + add.N
	case "sum":
		err = codec.Msgpack().DecodeArgs(d.Payload, &list)
		for _, n := range list.Upstream {
			num.N += n
		}
	}
	if err != nil || d.Flow.Upstream != "" {
		w.Errorf("task %s with %q, upstream %q: %v", d.Name, d.Payload, d.Flow.Upstream, err)
	}
	return num.N, nil
}

// same compares the tasks that have run.
func (w *world) same(want map[string]int) {
	w.Helper()
	if !maps.Equal(w.ran, want) {
		w.Errorf("ran %v, want %v", w.ran, want)
	}
}

// text returns the state, result and error of an outcome as text.
func text(o *broker.Outcome) string {
	var v any
	if len(o.Result) > 0 {
		_ = codec.Msgpack().DecodeValue(o.Result, &v)
	}
	msg := ""
	if o.Err != nil {
		msg = o.Err.Message
	}
	return fmt.Sprintf("%s %v %q", o.State, v, msg)
}
