package flow_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/internal/engine/flow"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// A driver without the key leaves a sealed flow to a driver with the key, and handles other
// arrivals.
func TestDriverWithoutTheKey(t *testing.T) {
	t.Parallel()
	signed, err := codec.Sign(codec.Msgpack(), []byte("a key that has thirty-two bytes."))
	if err != nil {
		t.Fatal(err)
	}
	for name, sealed := range map[string]task.Bound{
		"pipe":  task.Then(num(1), plus(1)),
		"group": group(request.GroupSettings{Quorum: 1, Callback: sum().Unbound()}, num(1)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 0, false)
				defer w.close()
				plain := w.c
				w.c = client.New(client.Config{Broker: w.b, Codec: signed, Logger: silent})
				w.send(sealed)
				w.settle(1, nil)
				sender := w.c
				w.c = plain
				defer func() { _ = sender.Close() }()
				without := flow.Driver{Broker: w.b, Log: silent}
				for range 2 {
					if err := without.Drain(context.Background(), "default"); err != nil {
						t.Error(err)
					}
				}
				if got, err := w.worker.Dequeue(context.Background(), queues, 1, time.Millisecond); err != nil || len(got) > 0 {
					t.Fatalf("it has started %d tasks, %v", len(got), err)
				}

				w.send(task.Then(num(1), plus(1)))
				w.settle(1, []byte{1})
				_ = without.Drain(context.Background(), "default")
				if d := w.next(); d.Flow.Upstream != "" {
					t.Errorf("a step that is not sealed waits for %q", d.Flow.Upstream)
				}

				with := flow.Driver{Broker: w.b, Log: silent, Codecs: []codec.Codec{signed, codec.Msgpack()}}
				if err := with.Drain(context.Background(), "default"); err != nil {
					t.Error(err)
				}
				if d := w.next(); d.Codec != signed.Name() {
					t.Errorf("the driver with the key has started a task of codec %s", d.Codec)
				}
			})
		})
	}
}

// A driver that serves no queue, and accepts nothing without a seal, leaves flows without a
// seal to drivers that serve their queue.
func TestGuestLeavesWhatIsPlain(t *testing.T) {
	t.Parallel()
	signed, err := codec.Sign(codec.Msgpack(), []byte("a key that has thirty-two bytes."))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		w.send(task.Then(num(1), plus(1)))
		w.settle(1, []byte{1})
		guest := flow.Driver{Broker: w.b, Log: silent, Codecs: []codec.Codec{signed}, Guest: true}
		if err := guest.Drain(context.Background(), "default"); err != nil {
			t.Error(err)
		}
		if got, err := w.worker.Dequeue(context.Background(), queues, 1, time.Millisecond); err != nil || len(got) > 0 {
			t.Fatalf("it has started %d tasks, %v", len(got), err)
		}
		guest.Codecs = append(guest.Codecs, codec.Msgpack())
		if err := guest.Drain(context.Background(), "default"); err != nil {
			t.Errorf("a guest that accepts both: %v", err)
		}
		if d := w.next(); d.Flow.Upstream != "" {
			t.Errorf("the step waits for %q", d.Flow.Upstream)
		}
	})
}
