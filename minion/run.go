package minion

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/internal/engine/isolate"
	"github.com/go-arbiter/arbiter/internal/engine/squad"
)

// A run owns the slots and workers of one call of Run. It opens one session after the
// other: a session ends when its lease is lost, while the slots, and handlers that still
// run in them, go on in the next one. Attempts that have not started wait in prefetched; a
// worker takes one as soon as a slot is free. Settlements go to the session of the
// attempt. One mutex guards the state of the run and of its sessions; it is never held
// during a request to the broker.

const (
	// grace is how long handlers may go on after the end of their contexts before they
	// are abandoned.
	grace = 2 * time.Second
	// minParting is the minimum time for the last settlements and for closing the
	// consumer: see session.parting.
	minParting = 5 * time.Second
	// dequeueWait bounds how long one dequeue waits for tasks. The broker ends the wait
	// when a task arrives.
	dequeueWait = time.Minute

	fastest = 50 * time.Millisecond
	slowest = 2 * time.Second
)

// run is one call of Run.
type run struct {
	m           *Minion
	log         logger
	codecs      []codec.Codec
	limits      broker.Limits
	client      *client.Client
	pool        *isolate.Pool // nil if no task is isolated
	suspectPool *isolate.Pool // the processes for suspects; nil if the program has no children
	unfit       sync.Map      // names of tasks that the children of suspectPool can't run
	out         outage
	own         ownDelay
	parked      parkedNeeds
	heavy       sync.Map // names of tasks that take more slots than there are, and were logged
	waiters     squad.Waiters
	trial       trial
	pick        picker
	host        string
	recordFrom  int // see Minion.recordFrom
	bound       int // upper limit of unsettled: no task is taken while it is reached

	toldShort bool // it was logged that the lease is too short; only open uses it

	base    context.Context // the values for handlers; never ends
	stop    context.Context // ends when no more tasks shall be taken
	stopNow context.CancelFunc
	bg      context.Context // ends when settling is no longer tried
	bgEnd   context.CancelFunc
	wg      sync.WaitGroup // all goroutines except the workers

	work  chan struct{} // wakes idle workers; has room for all of them
	freed chan struct{} // wakes free, which waits for a slot or for room to settle

	// mu guards the following fields, and the fields of sessions that say so. It is never
	// held during a request to the broker. The lock of a session's reservations is taken
	// before it, and the locks of waiters and trial after it.
	mu sync.Mutex

	// Slots, and the attempts that wait for them.
	slots      slots
	prefetched prefetchQueue // attempts that wait for a worker or for their slots
	starting   []*attempt    // members of squads that may start; their slots are reserved
	offers     offers
	ceilings   *ceilings // nil if there are none
	putOffs    putOffs
	gauge      gauge

	// Workers.
	idle   int  // workers that wait for work
	waking bool // a worker was woken, or a new one started, and has not taken an attempt yet

	// The consume loop.
	waiting   bool   // free waits for freed
	interrupt func() // ends the dequeue that is under way; nil if none is

	// Sessions and settlements.
	sessions    []*session                    // sessions that have a lease, running handlers, or settlements to store
	squads      *squad.Reservations[*attempt] // those of the newest session
	unsettled   int                           // settlements that the broker has not accepted
	dropped     int                           // settlements that were given up when the run ended
	closed      bool                          // the broker has said that it is closed
	whenDrained chan struct{}                 // closed when drained is true; nil if waitDrained does not wait
}

func newRun(ctx context.Context, m *Minion, n int) *run {
	r := &run{
		m: m, log: logger{m.cfg.log, codec.AnyHides(m.cfg.allCodecs(), codec.Logs)}, slots: slots{total: n},
		codecs:     m.cfg.allCodecs(),
		limits:     m.b.Limits().WithDefaults(),
		client:     client.New(client.Config{Broker: m.b, Codec: m.cfg.codec, Codecs: m.cfg.codecs, Logger: m.cfg.log, Name: "minion"}),
		pick:       picker{names: m.cfg.queues, weights: m.cfg.weights},
		recordFrom: m.recordFrom(),
		bound:      max(2*n, broker.MaxBatch),
		base:       context.WithoutCancel(ctx),
		work:       make(chan struct{}, n),
		freed:      make(chan struct{}, 1),
		prefetched: prefetchQueue{usual: memory * brief}, // assume longer attempts until many short ones have ended
	}
	r.ceilings = newCeilings(&m.cfg)
	r.out.log, r.out.own = r.log, &r.own
	r.pool = newPool(m, r.log, n)
	r.suspectPool = newSuspectPool(m, r.log, n)
	r.host, _ = os.Hostname() // for display only
	r.stop, r.stopNow = context.WithCancel(ctx)
	r.bg, r.bgEnd = context.WithCancel(context.Background())
	return r
}

// serve opens one session after the other until the run is stopped.
func (r *run) serve() error {
	unhook := context.AfterFunc(r.m.halt, r.stopNow)
	defer unhook()
	defer r.stopNow()
	r.log.debug("minion started", "queues", r.m.cfg.queues, "slots", r.slots.total)
	if err := r.declareLimits(); err != nil { // before the first task is taken
		return r.finish(nil, err)
	}
	for {
		s, err := r.open()
		if s == nil {
			return r.finish(nil, err)
		}
		err = s.consume()
		if !errors.Is(err, errLost) {
			return r.finish(s, err)
		}
		r.wg.Go(s.wrapUp)
	}
}

// free waits until tasks can be taken and returns how many. It returns 0 if ctx ends first.
func (r *run) free(ctx context.Context) int {
	for {
		l := r.lock()
		now := time.Now()
		r.prefetched.measure(now)
		n := l.room()
		var again <-chan time.Time
		if n > 0 && r.unsettled < r.bound {
			wait := r.putOffs.wait(now, n)
			if wait == 0 {
				n = min(n, r.putOffs.allowed(now))
				l.unlock()
				return n
			}
			again = time.After(wait)
		}
		r.waiting = true
		l.unlock()
		select {
		case <-r.freed:
		case <-again: // too many tasks were put off
		case <-ctx.Done():
			return 0
		}
	}
}

// locked is a run whose mu is held. Functions that need mu are methods of locked, so that the
// compiler finds a call without it.
type locked struct{ *run }

func (r *run) lock() locked {
	r.mu.Lock()
	return locked{r}
}

func (r locked) unlock() { r.mu.Unlock() }

// changed wakes the goroutines that wait for slots or for the end of all work, and lets
// the heartbeats know of a new load.
func (r locked) changed() {
	r.weigh()
	if r.waiting && r.unsettled < r.bound && r.room() > 0 {
		r.waiting = false
		select {
		case r.freed <- struct{}{}:
		default:
		}
	}
	if r.waiters.Any() && r.spare() > 0 {
		r.squads.Poke()
	}
	if r.whenDrained != nil && r.drained() {
		close(r.whenDrained)
		r.whenDrained = nil
	}
}

// drained reports whether no handler runs and nothing is left to settle.
func (r locked) drained() bool { return r.slots.idle() && r.unsettled == 0 }

// waitDrained waits until drained, for at most d or until ctx ends. It reports whether that
// state was reached.
func (r *run) waitDrained(ctx context.Context, d time.Duration) bool {
	l := r.lock()
	if l.drained() {
		l.unlock()
		return true
	}
	done := make(chan struct{})
	r.whenDrained = done
	l.unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	waiting := r.whenDrained != nil
	r.whenDrained = nil
	return !waiting
}
