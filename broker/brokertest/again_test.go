package brokertest

import (
	"strings"
	"testing"
	"time"

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
	faults, stalled := c.try(t, test{body: func(r *rig) {
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
	if len(faults) != 2 || !strings.HasPrefix(faults[0], "again_test.go:") || !strings.HasSuffix(faults[1], ": fault 2") {
		t.Errorf("%q", faults)
	}
	if *open != 0 || stalled != time.Second {
		t.Errorf("after the try %d brokers are open, and the stall was %v", *open, stalled)
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
