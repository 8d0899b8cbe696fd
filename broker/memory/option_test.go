package memory_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/optionlist"
)

// Each option has an effect.
func TestOptions(t *testing.T) {
	if all, err := optionlist.In("."); err != nil || !slices.Equal(all, []string{"Lease", "Limits"}) {
		t.Fatalf("the package has the options %v, %v: test them here", all, err)
	}
	defaults := broker.Limits{}.WithDefaults()
	for _, tt := range []struct{ given, want broker.Limits }{
		{broker.Limits{}, defaults},
		{broker.Limits{Result: 2}, broker.Limits{Payload: defaults.Payload, Result: 2, Meta: defaults.Meta}},
		{broker.Limits{Payload: 1, Result: 2, Meta: 3}, broker.Limits{Payload: 1, Result: 2, Meta: 3}},
	} {
		if got := memory.New(memory.Limits(tt.given)).Limits(); got != tt.want {
			t.Errorf("Limits(%+v) are %+v, want %+v", tt.given, got, tt.want)
		}
	}
	for want, opts := range map[time.Duration][]memory.Option{
		memory.DefaultLease: nil, time.Minute: {memory.Lease(time.Minute)},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := memory.New(opts...)
			defer func() { _ = b.Close() }()
			c, err := b.Consume(t.Context(), broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(want - time.Millisecond)
			if err := c.Heartbeat(t.Context(), broker.Load{}); err != nil {
				t.Errorf("a heartbeat before %v: %v", want, err)
			}
			time.Sleep(want + time.Millisecond)
			if err := c.Heartbeat(t.Context(), broker.Load{}); !errors.Is(err, broker.ErrLeaseLost) {
				t.Errorf("a heartbeat after %v: %v, want ErrLeaseLost", want, err)
			}
		})
	}
}

// A broker with an invalid option does nothing but return the error of the first one.
func TestInvalidOptions(t *testing.T) {
	for says, opts := range map[string][]memory.Option{
		"Lease(0s)":         {memory.Lease(0), memory.Lease(time.Second)},
		"Lease(-1ns)":       {memory.Lease(-1), memory.Limits(broker.Limits{Meta: -1})},
		"Limits({Payload:-": {memory.Limits(broker.Limits{Payload: -1})},
		"Result:-1":         {memory.Limits(broker.Limits{Result: -1})},
		"Meta:-1":           {memory.Limits(broker.Limits{Meta: -1})},
	} {
		b := memory.New(opts...)
		if got := b.Limits(); got != (broker.Limits{}.WithDefaults()) {
			t.Errorf("%s: the limits are %+v, want the defaults", says, got)
		}
		for name, call := range map[string]func(context.Context) error{
			"Enqueue": func(ctx context.Context) error { return b.Enqueue(ctx, nil) },
			"Lookup":  func(ctx context.Context) error { _, err := b.Lookup(ctx, nil); return err },
			"Consume": func(ctx context.Context) error {
				_, err := b.Consume(ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
				return err
			},
			"Inbox":     func(ctx context.Context) error { _, err := b.Inbox(ctx, broker.ID{}); return err },
			"Subscribe": func(ctx context.Context) error { _, err := b.Subscribe(ctx, "t", broker.CursorNow); return err },
		} {
			if err := call(t.Context()); !errors.Is(err, broker.ErrInvalid) || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %s returned %v, want ErrInvalid that names the option", says, name, err)
			}
		}
		if err := b.Close(); err != nil {
			t.Errorf("%s: Close: %v", says, err)
		}
	}
}
