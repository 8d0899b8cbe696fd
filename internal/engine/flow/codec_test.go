package flow_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/internal/engine/flow"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// brittle is a codec that panics in the methods that a driver calls.
type brittle struct{ codec.Codec }

func (brittle) Name() string { return "brittle" }

func (brittle) AppendValue([]byte, any) ([]byte, error) { panic("value") }

func (brittle) AppendArray([]byte, [][]byte) ([]byte, error) { panic("joined") }

func (brittle) AppendArg([]byte, []byte, string, []byte) ([]byte, error) { panic("arg") }

// brittleWorld returns a world whose client and driver use the codec.
func brittleWorld(t *testing.T) *world {
	w := newWorld(t, 0, false)
	_ = w.c.Close()
	c := brittle{codec.Msgpack()}
	w.c = client.New(client.Config{Broker: w.b, Codec: c, Logger: silent})
	w.driver.Codecs = []codec.Codec{c}
	return w
}

// settle settles n pending tasks as succeeded with a result.
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

// next takes the next pending task.
func (w *world) next() *broker.Delivery {
	w.Helper()
	got, err := w.worker.Dequeue(context.Background(), queues, 1, time.Minute)
	if err != nil || len(got) != 1 {
		w.Fatalf("dequeue: %v, %v", got, err)
	}
	return got[0]
}

// If a codec panics while a result becomes an argument, the step starts without it, and its
// metadata has the panic as the reason.
func TestCodecPanicsInPipe(t *testing.T) {
	for says, result := range map[string][]byte{
		"brittle: AppendArg panicked: arg":     {1},
		"brittle: AppendValue panicked: value": nil, // a task without a result
	} {
		synctest.Test(t, func(t *testing.T) {
			w := brittleWorld(t)
			defer w.close()
			w.send(task.Then(num(1), plus(1)))
			w.settle(1, result)
			w.drain()
			if d := w.next(); d.Flow.Upstream != "upstream" || !strings.Contains(d.Meta[flow.ReasonKey], says) {
				t.Errorf("the step waits for %q, because of %q, want %q", d.Flow.Upstream, d.Meta[flow.ReasonKey], says)
			}
		})
	}
}

// If a codec panics while results are combined, the callback starts without them, and a group
// without a callback succeeds without a result. Both have the panic as the reason.
func TestCodecPanicsInGroup(t *testing.T) {
	const says = "brittle: AppendArray panicked: joined"
	synctest.Test(t, func(t *testing.T) {
		w := brittleWorld(t)
		defer w.close()
		w.send(group(request.GroupSettings{Quorum: 2, Callback: sum().Unbound()}, num(1), num(2)))
		w.settle(2, []byte{1})
		w.drain()
		if d := w.next(); d.Flow.Upstream != "upstream" || !strings.Contains(d.Meta[flow.ReasonKey], says) {
			t.Errorf("the callback waits for %q, because of %q", d.Flow.Upstream, d.Meta[flow.ReasonKey])
		}
		id := w.send(group(request.GroupSettings{Quorum: 2}, num(1), num(2)))
		w.settle(2, []byte{1})
		if o := w.outcome(id); o.State != broker.StateSucceeded || o.Err == nil || !strings.Contains(o.Err.Message, says) {
			t.Errorf("the group: %s, %+v", o.State, o.Err)
		}
	})
}
