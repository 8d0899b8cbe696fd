//go:build unix

package chaos

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// The sizes of a simulation.
const (
	simMinions    = 3
	simSubmitters = 2
	simSenders    = 3
	simRounds     = 4 // of load, by each sender
	simSlots      = 8
	simLong       = 8 * time.Second  // that a task lasts
	simOutages    = time.Minute      // that it lasts where there are nothing but outages
	simPatience   = 10 * time.Minute // by the fake clock
)

var simQueues = []string{"a", "b"}

// world is everything that runs in a bubble: processes, which are goroutines with
// a broker of their own that has the faults, and the store that they share.
type world struct {
	seed   uint64
	store  broker.Broker
	rec    *Recorder
	faults *Page // what the injector notes
	rates  faulty.Rates
	plan   []Fault
	long   time.Duration // that some tasks last
	places map[string]*simPlace
	began  time.Time
	errs   []error // of the audit
}

// simPlace is where one process runs after the other.
type simPlace struct {
	w      *world
	name   string
	struck chan struct{} // has one while a fault lasts; a mutex would hold up the fake clock
	number int
	proc   *simProc
	closed bool
}

// simProc is a process: a minion, or an arbiter with its load.
type simProc struct {
	name string
	page *Page
	b    *faulty.Broker
	stop context.CancelFunc
	done chan struct{}

	missed, beat int // heartbeats that have failed in a row, and the last of them
}

// newWorld draws what a seed says of a simulation on a store.
func newWorld(seed uint64, store broker.Broker) *world {
	rnd := rand.New(rand.NewPCG(seed, 2))
	w := &world{seed: seed, store: store, rec: new(Recorder), places: make(map[string]*simPlace), began: time.Now()}
	w.faults = w.rec.Page("injector")
	most := []int{0, 15, 60, 120}[rnd.IntN(4)] // of a thousand requests, for each effect
	some := func() int { return rnd.IntN(most + 1) }
	w.rates = faulty.Rates{Before: some(), After: some(), Twice: some(), Slow: some(), Longest: 250 * time.Millisecond}
	w.plan, w.long = simPlan(rnd), simLong
	if seed%4 == 1 { // no random number, so that the other seeds mean what they did
		w.long = simOutages
		w.plan = Outages(simOutages, lease, simMinions)
	}
	return w
}

// simPlan draws the faults of processes.
func simPlan(rnd *rand.Rand) (plan []Fault) {
	if rnd.IntN(4) == 0 {
		return nil // requests alone are struck
	}
	kinds := []string{KillProcess, KillProcess, EndProcess, Freeze, Freeze, TimeJump}
	for at := upTo(rnd, time.Second); at < 8*time.Second; at += upTo(rnd, 1200*time.Millisecond) {
		f := Fault{At: at, Name: kinds[rnd.IntN(len(kinds))], For: 50*time.Millisecond + upTo(rnd, 2*lease)}
		switch n := rnd.IntN(10); {
		case f.Name == TimeJump:
			f.Target = Server
		case n < 8:
			f.Target = fmt.Sprint("m", n%simMinions)
		default:
			f.Target = fmt.Sprint("s", n%simSubmitters)
		}
		plan = append(plan, f)
	}
	return plan
}

// run runs it all, and returns what the history shows.
func (w *world) run() *Report {
	for i := range simMinions {
		w.open(fmt.Sprint("m", i))
	}
	for i := range simSubmitters {
		w.open(fmt.Sprint("s", i))
	}
	var all sync.WaitGroup
	for _, f := range w.plan {
		time.Sleep(time.Until(w.began.Add(f.At)))
		all.Go(func() { w.inject(f) })
	}
	all.Wait()
	for i := range simSubmitters {
		<-w.places[fmt.Sprint("s", i)].proc.done
	}
	w.audit()
	for _, p := range w.places {
		p.struck <- struct{}{}
		p.closed = true
		<-p.struck
		p.proc.stop()
		<-p.proc.done
		p.proc.b.Kill()
	}
	return Check(w.rec.Events(), lease)
}

// audit asks for all results until nothing new has started for a while.
func (w *world) audit() {
	ctx, cancel := context.WithTimeout(context.Background(), simPatience)
	defer cancel()
	arb, err := arbiter.New(w.store, append(ofAudit, arbiter.Logger(slog.New(slog.DiscardHandler)))...)
	if err != nil {
		panic(err)
	}
	defer func() { _ = arb.Close() }()
	known := make(map[task.ID]string)
	page := w.rec.Page("audit")
	for n := -1; n != len(known) && ctx.Err() == nil; {
		time.Sleep(3 * lease)
		n = len(known)
		w.errs = append(w.errs, outcomes(ctx, arb, w.rec.Events(), known, page)...)
	}
}

func (w *world) open(name string) {
	p := &simPlace{w: w, name: name, struck: make(chan struct{}, 1)}
	w.places[name] = p
	p.start()
}

// start starts the next process of a place.
func (p *simPlace) start() {
	w := p.w
	p.number++
	name := fmt.Sprintf("%s.%d", p.name, p.number)
	proc := &simProc{name: name, page: w.rec.Page(name), b: faulty.New(w.store), done: make(chan struct{})}
	hooks, tape := faulty.Seeded(w.seed, name, w.rates, proc.note), w.rec.Page(name)
	hooks.Recorded = func(d *broker.Delivery) { // also of a process that was killed meanwhile
		tape.Note(Event{Kind: Recorded, ID: d.ID.String(), Attempt: int(d.Attempt)})
	}
	proc.b.Set(hooks)
	var ctx context.Context
	ctx, proc.stop = context.WithCancel(context.Background())
	run := w.minion
	if p.name[0] == 's' {
		run = w.submitter
	}
	p.proc = proc
	go func() {
		defer close(proc.done)
		run(ctx, proc)
	}()
}

// note notes what has befallen a request. Heartbeats that fail in a row may cost a
// lease, and so are a cause.
func (p *simProc) note(s faulty.Struck) {
	hits := []Event{{Kind: Hit, Fault: SmallFault, Target: p.name, Value: fmt.Sprintf("%v of %s no. %d", s.Effect, s.Op, s.Call)}}
	if s.Op == faulty.Heartbeat && (s.Effect == faulty.FailBefore || s.Effect == faulty.FailAfter) { // one at a time
		if s.Call != p.beat+1 {
			p.missed = 0
		}
		p.missed, p.beat = p.missed+1, s.Call
		if p.missed >= 3 {
			hits = append(hits, Event{Kind: Hit, Fault: NoHeartbeat, Target: p.name})
		}
	}
	p.page.Note(hits...)
}

func (w *world) minion(ctx context.Context, proc *simProc) {
	queues := simQueues
	if proc.name[1] == '0' { // the others serve all
		queues = queues[:1]
	}
	m := minion.New(proc.b, minion.Queues(queues...), minion.Logger(slog.New(slog.DiscardHandler)),
		minion.DrainTimeout(0), minion.MaxRecoveries(deaths), ofMinions)
	if err := (worker{proc.name, proc.page, func() { w.places[proc.name[:2]].poisoned(ctx, proc) }}).register(m); err != nil {
		panic(err)
	}
	_ = m.Run(ctx, simSlots) // an error is that it was killed, or could not say goodbye
}

func (w *world) submitter(ctx context.Context, proc *simProc) {
	ctx, cancel := context.WithTimeout(ctx, simPatience)
	defer cancel()
	b := &simTapped{proc.b, newSpy()}
	arb, err := arbiter.New(b, sealing(proc.name, arbiter.Logger(slog.New(slog.DiscardHandler)))...)
	if err != nil {
		panic(err)
	}
	defer func() { _ = arb.Close() }()
	if seals(proc.name) {
		attack, end := context.WithCancel(ctx)
		over := make(chan struct{})
		go func() {
			defer close(over)
			b.attack(attack, rand.New(rand.NewPCG(w.seed, 6)), w.store, w.rec.Page("attacker"))
		}()
		defer func() { end(); <-over }()
	}
	s := &submitter{config: config{Name: proc.name, Queues: simQueues, Slots: simSlots}, ledger: proc.page, arb: arb}
	var all sync.WaitGroup
	if proc.name[1] == '0' {
		all.Go(func() { s.long(ctx, rand.New(rand.NewPCG(w.seed, 4)), s.ledger.Now()+int64(w.long)) })
	}
	if proc.name == "s0.1" && w.seed%2 == 0 {
		all.Go(func() { s.crowd(ctx, rand.New(rand.NewPCG(w.seed, 5))) })
	}
	for i := range simSenders {
		all.Go(func() {
			seed := w.seed
			for _, b := range []byte(proc.name) {
				seed = seed*31 + uint64(b)
			}
			rnd := rand.New(rand.NewPCG(seed, uint64(i)))
			for range simRounds {
				if ctx.Err() != nil {
					return
				}
				s.load(ctx, rnd)
			}
		})
	}
	all.Wait()
}

// inject carries out a fault of a process, or of all.
func (w *world) inject(f Fault) {
	hit := Event{Kind: Hit, Fault: f.Name, Target: f.Target}
	if f.Name == TimeJump {
		for i := range simMinions + simSubmitters {
			p := w.places[placeName(i)]
			p.struck <- struct{}{}
			defer func() { <-p.struck }()
		}
		hit.At = time.Now().UnixNano()
		w.hang(true)
		time.Sleep(f.For)
		w.hang(false)
	} else {
		p := w.places[f.Target]
		p.struck <- struct{}{}
		defer func() { <-p.struck }()
		hit.At = time.Now().UnixNano()
		if f.Name != Freeze {
			hit.Target = p.proc.name
		}
		p.strike(f)
	}
	hit.Until = time.Now().UnixNano()
	w.faults.Note(hit)
}

func placeName(i int) string {
	if i < simMinions {
		return fmt.Sprint("m", i)
	}
	return fmt.Sprint("s", i-simMinions)
}

func (w *world) hang(hangs bool) {
	for i := range simMinions + simSubmitters {
		w.places[placeName(i)].proc.b.Hang(hangs)
	}
}

func (p *simPlace) strike(f Fault) {
	proc := p.proc
	switch f.Name {
	case Freeze:
		proc.b.Hang(true)
		time.Sleep(f.For)
		proc.b.Hang(false)
		return
	case KillProcess:
		proc.kill()
		// Its goroutines end by themselves; whatever they do, nobody notices.
	case EndProcess:
		proc.stop()
		<-proc.done
	}
	time.Sleep(f.For)
	p.start()
}

// kill ends a process. What reaches the broker was noted before, so its page ends last.
func (p *simProc) kill() {
	p.b.Kill()
	p.page.End()
	p.stop()
}

// poisoned ends a process in which a task wants that, as a kill does, and starts the next
// one. It returns when the handler's context has ended.
func (p *simPlace) poisoned(ctx context.Context, proc *simProc) {
	proc.kill()
	go func() {
		p.struck <- struct{}{} // a fault may have struck it as well
		defer func() { <-p.struck }()
		if !p.closed && p.proc == proc {
			time.Sleep(restart)
			p.start()
		}
	}()
	<-ctx.Done()
}
