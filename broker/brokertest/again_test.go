package brokertest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
)

// again returns a configuration that reports a stall of the given length after every test, and the
// number of brokers that are open.
func again(stalled time.Duration) (c Config, open *int) {
	open = new(int)
	return Config{
		Open: func(t testing.TB) Harness {
			*open++
			t.Cleanup(func() { *open-- })
			return Harness{Broker: memory.New(), Lease: memory.DefaultLease}
		},
		stalled: func() time.Duration { return stalled },
	}, open
}

// A failed try returns its failures with their positions in the source, and runs its clean-ups.
func TestTry(t *testing.T) {
	c, open := again(time.Second)
	last := c.try(t, test{body: func(r *rig) {
		if r.Failed() || *open != 1 {
			t.Errorf("before the test begins Failed is %v and %d brokers are open, want false and 1", r.Failed(), *open)
		}
		r.Errorf("fault %d", 1)
		if !r.Failed() {
			t.Error("Failed returned false after a failure")
		}
		r.Fatalf("fault %d", 2)
		t.Error("the test went on after Fatalf")
	}})
	if len(last.faults) != 2 || !strings.HasPrefix(last.faults[0], "again_test.go:") || !strings.HasSuffix(last.faults[1], ": fault 2") {
		t.Errorf("%q", last.faults)
	}
	if *open != 0 || last.stalled != time.Second {
		t.Errorf("after the try %d brokers are open, and the stall was %v", *open, last.stalled)
	}
}

// A test that fails during a stall of the machine is repeated.
func TestAgain(t *testing.T) {
	c, open := again(spoils)
	runs := 0
	c.run(t, test{body: func(r *rig) {
		if runs++; runs < tries {
			r.Fatalf("run %d", runs)
		}
	}})
	if runs != tries || *open != 0 {
		t.Errorf("%d runs, want %d; %d brokers are open, want 0", runs, tries, *open)
	}
}

// forgets refuses all heartbeats, as if the lease had ended.
type forgets struct{ *memory.Broker }

func (b forgets) Consume(ctx context.Context, cfg broker.ConsumerConfig) (broker.Consumer, error) {
	c, err := b.Broker.Consume(ctx, cfg)
	return forgetsConsumer{c}, err
}

type forgetsConsumer struct{ broker.Consumer }

func (c forgetsConsumer) Heartbeat(context.Context, broker.Load) error { return broker.ErrLeaseLost }

// forgetful returns a configuration with brokers that forget their consumers. The clock of the
// harness stands still, and the test moves it.
func forgetful(clock *time.Time) Config {
	now := func() time.Time { return *clock }
	open := func(_ testing.TB, lease time.Duration) Harness {
		return Harness{Broker: forgets{memory.New(memory.Lease(lease))}, Lease: lease, Now: now}
	}
	return Config{
		Open:    func(t testing.TB) Harness { return open(t, time.Second) },
		Longer:  open,
		stalled: func() time.Duration { return 0 },
	}
}

// If the suite itself did not renew the lease of a consumer in time, the test is repeated with a
// longer lease.
func TestAgainWithALongerLease(t *testing.T) {
	clock := time.Now()
	var leases []time.Duration
	forgetful(&clock).run(t, test{needs: needLapse, body: func(r *rig) {
		m := r.minion()
		clock = clock.Add(r.Lease)
		if leases = append(leases, r.Lease); len(leases) < tries {
			beat(m)
		}
	}})
	if want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}; !slices.Equal(leases, want) {
		t.Errorf("the leases were %v, want %v", leases, want)
	}
}

// A broker that forgets a consumer whose lease the suite has renewed in time is not excused.
func TestNotAgainForALivingConsumer(t *testing.T) {
	clock := time.Now()
	last := forgetful(&clock).try(t, test{needs: needLapse, body: func(r *rig) {
		m := r.minion()
		clock = clock.Add(r.Lease - time.Millisecond)
		beat(m)
	}})
	if len(last.faults) == 0 || last.spoiled() {
		t.Errorf("the failures are %v, and the test would be repeated: %t; want a failure that counts", last, last.spoiled())
	}
}
