package flow_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/client"
	"github.com/go-arbiter/arbiter/internal/flow"
	"github.com/go-arbiter/arbiter/task"
)

// brittle is a codec whose methods panic that a driver calls.
type brittle struct{ codec.Codec }

func (brittle) Name() string { return "brittle" }

func (brittle) AppendValue([]byte, any) ([]byte, error) { panic("value") }

func (brittle) AppendJoined([]byte, [][]byte) ([]byte, error) { panic("joined") }

func (brittle) AppendArg([]byte, []byte, string, []byte) ([]byte, error) { panic("arg") }

// brittleWorld is one whose client and driver have the codec.
func brittleWorld(t *testing.T) *world {
	w := newWorld(t, 0, false)
	_ = w.c.Close()
	c := brittle{codec.Msgpack()}
	w.c = client.New(client.Config{Broker: w.b, Codec: c, Logger: silent})
	w.driver.Codecs = []codec.Codec{c}
	return w
}

// settle lets n tasks that are pending succeed with a result.
func (w *world) settle(n int, result []byte) {
	w.Helper()
	batch := make([]broker.Settlement, n)
	for i := range batch {
		d := w.next()
		batch[i] = broker.Settlement{Delivery: d, Outcome: broker.Outcome{
			State: broker.StateSucceeded, Codec: d.Codec, Name: d.Name, Result: result,
		}}
	}
	if _, err := w.worker.Settle(context.Background(), batch); err != nil {
		w.Fatal(err)
	}
}

func (w *world) next() *broker.Delivery {
	w.Helper()
	got, err := w.worker.Dequeue(context.Background(), queues, 1, time.Minute)
	if err != nil || len(got) != 1 {
		w.Fatalf("dequeue: %v, %v", got, err)
	}
	return got[0]
}

// A codec that panics where a result becomes an argument is why the step can't
// run.
func TestCodecPanicsInPipe(t *testing.T) {
	for says, result := range map[string][]byte{
		"brittle: AppendArg panicked: arg":     {1},
		"brittle: AppendValue panicked: value": nil, // a task without one
	} {
		synctest.Test(t, func(t *testing.T) {
			w := brittleWorld(t)
			defer w.close()
			w.send(task.Then(num(1), plus(1)))
			w.settle(1, result)
			w.drain()
			if d := w.next(); d.Upstream != "upstream" || !strings.Contains(d.Meta[flow.ReasonKey], says) {
				t.Errorf("the step waits for %q, because of %q, want %q", d.Upstream, d.Meta[flow.ReasonKey], says)
			}
		})
	}
}

// A codec that panics where results are joined is why a callback can't run, and
// why a group has no result.
func TestCodecPanicsInGroup(t *testing.T) {
	const says = "brittle: AppendJoined panicked: joined"
	synctest.Test(t, func(t *testing.T) {
		w := brittleWorld(t)
		defer w.close()
		w.send(group(task.GroupSettings{Need: 2, Callback: sum().Unbound()}, num(1), num(2)))
		w.settle(2, []byte{1})
		w.drain()
		if d := w.next(); d.Upstream != "upstream" || !strings.Contains(d.Meta[flow.ReasonKey], says) {
			t.Errorf("the callback waits for %q, because of %q", d.Upstream, d.Meta[flow.ReasonKey])
		}
		id := w.send(group(task.GroupSettings{Need: 2}, num(1), num(2)))
		w.settle(2, []byte{1})
		if o := w.outcome(id); o.State != broker.StateSucceeded || o.Err == nil || !strings.Contains(o.Err.Message, says) {
			t.Errorf("the group: %s, %+v", o.State, o.Err)
		}
	})
}
