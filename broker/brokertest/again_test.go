package brokertest

import (
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker/memory"
)

// again returns a configuration of a machine that stalls for so long, and the
// number of brokers that were opened and are not closed.
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

// What failed in a try is returned, with where that was, and the try cleans up.
func TestTry(t *testing.T) {
	c, open := again(time.Second)
	faults, stalled, lease := c.try(t, test{body: func(r *rig) {
		if r.Failed() || *open != 1 {
			t.Error("it has failed before it begins, or has no broker")
		}
		r.Errorf("fault %d", 1)
		if !r.Failed() {
			t.Error("its failure is not known")
		}
		r.Fatalf("fault %d", 2)
		t.Error("it goes on")
	}})
	if len(faults) != 2 || !strings.HasPrefix(faults[0], "again_test.go:") || !strings.HasSuffix(faults[1], ": fault 2") {
		t.Errorf("%q", faults)
	}
	if *open != 0 || stalled != time.Second || lease != memory.DefaultLease {
		t.Errorf("%d brokers are open, stalled for %v, a lease of %v", *open, stalled, lease)
	}
}

// A test that fails while the machine stalls for a good part of a lease runs again.
func TestAgain(t *testing.T) {
	c, open := again(memory.DefaultLease / 4)
	runs := 0
	c.run(t, test{body: func(r *rig) {
		if runs++; runs < tries {
			r.Fatalf("run %d", runs)
		}
	}})
	if runs != tries || *open != 0 {
		t.Errorf("%d runs, want %d; %d brokers are open", runs, tries, *open)
	}
}

// A stall that ends no lease excuses nothing.
func TestSpoils(t *testing.T) {
	for _, c := range []struct {
		stalled time.Duration
		want    bool
	}{{0, false}, {400 * time.Millisecond, false}, {500 * time.Millisecond, true}, {time.Minute, true}} {
		if got := spoils(c.stalled, 2*time.Second); got != c.want {
			t.Errorf("a stall of %v with a lease of 2s: %v, want %v", c.stalled, got, c.want)
		}
	}
}
