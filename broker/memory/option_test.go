package memory_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/optionlist"
)

// Each option has an effect. A value that is not positive means the default.
func TestOptions(t *testing.T) {
	if all, err := optionlist.In("."); err != nil || !slices.Equal(all, []string{"Lease", "Limits"}) {
		t.Fatalf("the package has the options %v, %v: test them here", all, err)
	}
	defaults := broker.Limits{}.WithDefaults()
	for _, tt := range []struct{ given, want broker.Limits }{
		{broker.Limits{}, defaults},
		{broker.Limits{Payload: -1, Result: -1, Meta: -1}, defaults},
		{broker.Limits{Payload: 1, Result: 2, Meta: 3}, broker.Limits{Payload: 1, Result: 2, Meta: 3}},
	} {
		if got := memory.New(memory.Limits(tt.given)).Limits(); got != tt.want {
			t.Errorf("Limits(%+v) are %+v, want %+v", tt.given, got, tt.want)
		}
	}
	for given, want := range map[time.Duration]time.Duration{0: memory.DefaultLease, -1: memory.DefaultLease, time.Minute: time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			b := memory.New(memory.Lease(given))
			defer func() { _ = b.Close() }()
			c, err := b.Consume(t.Context(), broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(want - time.Millisecond)
			if err := c.Heartbeat(t.Context(), broker.Load{}); err != nil {
				t.Errorf("Lease(%v): a heartbeat before %v: %v", given, want, err)
			}
			time.Sleep(want + time.Millisecond)
			if err := c.Heartbeat(t.Context(), broker.Load{}); err == nil {
				t.Errorf("Lease(%v): no end after %v", given, want)
			}
		})
	}
}
