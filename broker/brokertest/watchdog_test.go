package brokertest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
)

// guardedBy runs a body under a watchdog with a short limit, in a bubble and without one. The hook
// gets the reports.
func guardedBy(t *testing.T, open func() broker.Broker, hook func(report string), body func(r *rig)) {
	for name, bubble := range map[string]func(*testing.T, func(*testing.T)){"Bubble": synctest.Test, "NoBubble": nil} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Bubble: bubble, Stuck: 50 * time.Millisecond, onStuck: hook, Open: func(testing.TB) Harness {
				return Harness{Broker: open(), Lease: 15 * time.Second, Prompt: patience}
			}}
			cfg.guarded(t, func(t *testing.T, cfg Config) { body(newRig(t, cfg)) })
		})
	}
}

// A broker that holds a lock while it calls OnCancel gets stuck. The report names the calls and the
// stacks.
func TestWatchdogSeesALock(t *testing.T) {
	var locked locks
	var reports []string
	guardedBy(t, func() broker.Broker {
		locked = locks{memory.New(), new(sync.Mutex)}
		return locked
	}, func(report string) {
		reports = append(reports, report)
		locked.mu.Unlock() // otherwise the test would not end
	}, func(r *rig) {
		m := r.minion()
		m.onKill = func(id broker.ID) {
			r.lookup(id)
			locked.mu.Lock() // Cancel unlocks it
		}
		task := r.task()
		r.enqueue(task)
		m.take1()
		r.canceled(task.ID, broker.CancelRequested)
	})
	if len(reports) != 2 {
		t.Fatalf("%d reports, want one in a bubble and one without: %q", len(reports), reports)
	}
	for _, report := range reports {
		for _, want := range []string{t.Name(), "Cancel has not returned", "Lookup has not returned", "locks.Lookup", "sync.(*Mutex).Lock"} {
			if !strings.Contains(report, want) {
				t.Errorf("the report lacks %q:\n%s", want, report)
			}
		}
	}
}

// A wait within its limit is not reported, however long it is.
func TestWatchdogWaits(t *testing.T) {
	const long = 300 * time.Millisecond // longer than the limit of the watchdog
	guardedBy(t, func() broker.Broker { return memory.New() },
		func(report string) { t.Errorf("the watchdog reported a wait within its limit:\n%s", report) },
		func(r *rig) {
			m, mail := r.minion(), r.mail()
			ctx, cancel := context.WithTimeout(r.ctx, long)
			defer cancel()
			together(func() {
				if _, err := mail.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
					r.Errorf("Receive: %v", err)
				}
			}, func() {
				if ds, err := m.Dequeue(r.ctx, m.queues, 1, long); len(ds) > 0 || err != nil {
					r.Errorf("Dequeue: %v, %v", ds, err)
				}
			})
		})
}

// deaf ignores the end of the context of a Receive.
type deaf struct {
	*memory.Broker
	free chan struct{}
}

func (b deaf) Inbox(ctx context.Context, id broker.ID) (broker.Inbox, error) {
	in, err := b.Broker.Inbox(ctx, id)
	return deafInbox{in, b.free}, err
}

type deafInbox struct {
	broker.Inbox
	free chan struct{}
}

func (in deafInbox) Receive(ctx context.Context) (broker.Mail, error) {
	<-in.free
	return in.Inbox.Receive(ctx)
}

// A Receive that goes on after the end of its context is reported.
func TestWatchdogSeesAWait(t *testing.T) {
	free := make(chan struct{})
	reports := 0
	cfg := Config{Stuck: 50 * time.Millisecond, onStuck: func(report string) {
		reports++
		if !strings.Contains(report, "Inbox.Receive has not returned") {
			t.Errorf("the report does not name Inbox.Receive:\n%s", report)
		}
		close(free)
	}, Open: func(testing.TB) Harness {
		return Harness{Broker: deaf{memory.New(), free}, Lease: 15 * time.Second}
	}}
	cfg.guarded(t, func(t *testing.T, cfg Config) {
		r := newRig(t, cfg)
		ctx, cancel := context.WithCancel(r.ctx)
		cancel()
		_, err := r.mail().Receive(ctx)
		r.is(err, context.Canceled)
	})
	if reports != 1 {
		t.Errorf("%d reports, want 1", reports)
	}
}

// A test that makes calls without end is reported by its total time.
func TestWatchdogSeesALoop(t *testing.T) {
	stop := make(chan struct{})
	reports := 0
	cfg := Config{Stuck: 10 * time.Millisecond, onStuck: func(report string) {
		reports++
		if !strings.Contains(report, "The test has not ended") {
			t.Errorf("the report does not say that the test has not ended:\n%s", report)
		}
		close(stop)
	}, Open: func(testing.TB) Harness {
		return Harness{Broker: memory.New(), Lease: time.Millisecond}
	}}
	cfg.guarded(t, func(t *testing.T, cfg Config) {
		r := newRig(t, cfg)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				r.lookup(newIDs(1)...)
			}
		}
	})
	if reports != 1 {
		t.Errorf("%d reports, want 1", reports)
	}
}

// asleep is a broker whose Lookup does not return.
type asleep struct{ broker.Broker }

func (asleep) Lookup(context.Context, []broker.ID) ([]broker.Status, error) { select {} }

// Without a hook the program ends, with the report on stderr.
func TestWatchdogEndsTheProgram(t *testing.T) {
	const child = "ARBITER_TEST_STUCK"
	if os.Getenv(child) != "" {
		Run(t, Config{Stuck: 50 * time.Millisecond, Open: func(testing.TB) Harness {
			return Harness{Broker: asleep{memory.New()}, Lease: time.Second}
		}})
		return
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestWatchdogEndsTheProgram$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("the program ended without an error:\n%s", out)
	}
	for _, want := range []string{"is stuck. Lookup has not returned", "asleep.Lookup", "brokertest.(*rig).lookup"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the report lacks %q:\n%s", want, out)
		}
	}
}
