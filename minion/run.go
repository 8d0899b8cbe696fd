package minion

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/client"
	"github.com/go-arbiter/arbiter/internal/isolate"
)

const (
	// grace is how long handlers have from the end of their contexts until they
	// are abandoned.
	grace = 2 * time.Second
	// lastWords is how long the last settlements and the broker's goodbye may
	// take, at least: see session.parting.
	lastWords = 5 * time.Second
	// dequeueWait bounds how long a dequeue waits for work. The broker wakes it.
	dequeueWait = time.Minute

	fastest = 50 * time.Millisecond
	slowest = 2 * time.Second
)

// run is a Run under way: its slots, which outlive leases, and its sessions at
// the broker, of which one at a time has a lease.
type run struct {
	m          *Minion
	log        logger
	slots      int
	codecs     []codec.Codec
	limits     broker.Limits
	client     *client.Client
	pool       *isolate.Pool // nil if no task is isolated
	apart      *isolate.Pool // of suspects; nil if the program has no children
	unfit      sync.Map      // names of tasks that children of apart can't run
	out        outage
	own        ownDelay
	parked     parkedNeeds
	pick       picker
	host       string
	recordFrom int // see Minion.recordFrom
	bound      int // of unsettled: as long as more wait, none is taken

	toldShort bool // that the lease is too short was logged; only open looks at it

	base    context.Context // values for handlers; does not end
	stop    context.Context // ends when no more work shall be taken
	stopNow context.CancelFunc
	bg      context.Context // ends when nobody tries any longer to settle
	bgEnd   context.CancelFunc
	wg      sync.WaitGroup // all goroutines but the workers

	work  chan struct{} // wakes idle workers; has room for all of them
	freed chan struct{} // wakes who waits for a slot, or for room to settle

	// mu guards what follows, and the fields of sessions that say so. It is
	// never held while the broker is asked something.
	mu        sync.Mutex
	busy      int        // slots in which a handler runs; more than there are when lent ones came back
	lent      int        // handlers that wait for other tasks, and have lent their slots
	idle      int        // workers that wait for work
	waking    bool       // one of them, or a new one, is about to take an attempt
	unsettled int        // settlements that the broker has not accepted
	dropped   int        // settlements that were given up when the run ended
	closed    bool       // the broker has said that it is
	waiting   bool       // for freed
	reserved  int        // slots that are held for squads, or for members about to start
	asking    int        // members of squads that have no slot, and may not start
	starting  []*attempt // members of squads that have one
	waiters   waiters
	trial     trial
	gauge     gauge
	desk      *desk      // of the last session
	interrupt func()     // ends the dequeue that is under way, if any
	ahead     ahead      // attempts that wait for a worker, or for a slot
	sessions  []*session // those with a lease, handlers or settlements left
	quiet     chan struct{}
}

func newRun(m *Minion, ctx context.Context, slots int) *run {
	r := &run{
		m: m, log: logger{m.cfg.log, codec.AnyHides(m.cfg.allCodecs(), codec.Logs)}, slots: slots,
		codecs:     m.cfg.allCodecs(),
		limits:     m.b.Limits().WithDefaults(),
		client:     client.New(client.Config{Broker: m.b, Codec: m.cfg.codec, Codecs: m.cfg.codecs, Logger: m.cfg.log, Name: "minion"}),
		pick:       picker{names: m.cfg.queues, weights: m.cfg.weights},
		recordFrom: m.recordFrom(),
		bound:      max(2*slots, broker.MaxBatch),
		base:       context.WithoutCancel(ctx),
		work:       make(chan struct{}, slots),
		freed:      make(chan struct{}, 1),
		ahead:      ahead{usual: memory * brief}, // until many have been short
	}
	r.out.log, r.out.own = r.log, &r.own
	r.pool = newPool(m, r.log, slots)
	r.apart = newApart(m, r.log, slots)
	r.host, _ = os.Hostname() // for show only
	r.stop, r.stopNow = context.WithCancel(ctx)
	r.bg, r.bgEnd = context.WithCancel(context.Background())
	return r
}

// serve runs until it is stopped, with one session after the other.
func (r *run) serve() error {
	unhook := context.AfterFunc(r.m.halt, r.stopNow)
	defer unhook()
	defer r.stopNow()
	r.log.debug("minion started", "queues", r.m.cfg.queues, "slots", r.slots)
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

// free waits until tasks can be taken and returns how many; 0 if ctx ends first.
func (r *run) free(ctx context.Context) int {
	for {
		r.mu.Lock()
		r.ahead.measure(time.Now())
		n := r.room()
		if n > 0 && r.unsettled < r.bound {
			r.mu.Unlock()
			return min(n, broker.MaxBatch)
		}
		r.waiting = true
		r.mu.Unlock()
		select {
		case <-r.freed:
		case <-ctx.Done():
			return 0
		}
	}
}

// changed wakes those who wait for slots or for the end of everything, and has the
// broker told of the load. r.mu is held.
func (r *run) changed() {
	r.weigh()
	if r.waiting && r.unsettled < r.bound && r.room() > 0 {
		r.waiting = false
		select {
		case r.freed <- struct{}{}:
		default:
		}
	}
	if len(r.waiters.list) > 0 && r.spare() > 0 {
		r.desk.poke()
	}
	if r.quiet != nil && r.still() {
		close(r.quiet)
		r.quiet = nil
	}
}

// still reports whether no handler runs and nothing is left to settle. r.mu is
// held.
func (r *run) still() bool { return r.busy+r.lent == 0 && r.unsettled == 0 }

// silence waits until no handler runs and nothing is left to settle, at most
// for d or until ctx ends, and reports whether it came.
func (r *run) silence(ctx context.Context, d time.Duration) bool {
	r.mu.Lock()
	if r.still() {
		r.mu.Unlock()
		return true
	}
	quiet := make(chan struct{})
	r.quiet = quiet
	r.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-quiet:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	still := r.quiet != nil
	r.quiet = nil
	return !still
}
