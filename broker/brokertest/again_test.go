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
	faults, stalled := c.try(t, test{body: func(r *rig) {
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
	if *open != 0 || stalled != time.Second {
		t.Errorf("%d brokers are open, stalled for %v", *open, stalled)
	}
}

// A test that fails while the machine stalls runs again.
func TestAgain(t *testing.T) {
	c, open := again(spoils)
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
