package redis_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// The error of an operation on something closed names it: the broker, the consumer, the inbox or the
// subscription.
func TestClosedNamesIt(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		addr := strings.TrimPrefix(url, "redis://")
		b := open(t, url)
		ctx := t.Context()
		cfg := broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1}
		consumer, left := consume(t, b, cfg), consume(t, b, cfg)
		in, err := b.Inbox(ctx, broker.NewID(broker.KindParty, "", 0))
		if err != nil {
			t.Fatal(err)
		}
		sub, err := b.Subscribe(ctx, "news", broker.CursorNow)
		if err != nil {
			t.Fatal(err)
		}
		want := func(what string, err error, says string) {
			t.Helper()
			if !errors.Is(err, broker.ErrClosed) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v, want an error that contains %q", what, err, says)
			}
		}
		if err := errors.Join(consumer.Close(ctx), in.Close(), sub.Close()); err != nil {
			t.Fatal(err)
		}
		says := "the consumer of minion " + consumer.ID().String() + " is closed"
		_, err = consumer.Dequeue(ctx, []string{"q"}, 1, time.Millisecond)
		want("Dequeue", err, says)
		want("Heartbeat", consumer.Heartbeat(ctx, broker.Load{}), says)
		_, err = consumer.Settle(ctx, nil)
		want("Settle", err, says)
		_, err = in.Receive(ctx)
		want("Receive of an inbox", err, "the inbox is closed")
		_, _, err = sub.Receive(ctx)
		want("Receive of a subscription", err, "the subscription to topic news is closed")

		waits := make(chan error, 1)
		go func() {
			for {
				if _, err := left.Dequeue(context.Background(), []string{"q"}, 1, time.Minute); err != nil {
					waits <- err
					return
				}
			}
		}()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		says = "the redis broker at " + addr + " is closed"
		want("a Dequeue that waits", <-waits, says)
		want("Enqueue", b.Enqueue(ctx, []*broker.Task{newTask("q")}), says)
		_, err = b.Consume(ctx, cfg)
		want("Consume", err, says)
		_, err = b.Inbox(ctx, broker.NewID(broker.KindParty, "", 0))
		want("Inbox", err, says)
		_, err = b.Subscribe(ctx, "news", broker.CursorNow)
		want("Subscribe", err, says)
	})
}
