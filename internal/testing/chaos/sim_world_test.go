//go:build unix

package chaos

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// The sizes of a simulation.
const (
	simMinions    = 3
	simSubmitters = 2
	simTickers    = 2               // processes that run schedules
	simTicks      = 8 * time.Second // for how long schedules have ticks
	simSenders    = 3
	simRounds     = 4 // rounds of load of each sender
	simSlots      = 8
	simLong       = 8 * time.Second  // the longest duration of a task
	simOutages    = time.Minute      // the same if all faults are outages
	simPatience   = 10 * time.Minute // on the fake clock
)

var simQueues = []string{"a", "b"}

// world is everything in a bubble: the store, and the processes that share it. A process is a group
// of goroutines with its own faulty wrapper around the store.
type world struct {
	seed   uint64
	store  broker.Broker
	rec    *Recorder
	faults *Page // the ledger of the injector
	rates  faulty.Rates
	plan   []Fault
	long   time.Duration // the duration of long tasks
	hosts  map[string]*simHost
	began  time.Time
	errs   []error // errors of the audit
}

// simHost is a simulated machine on which one process runs after the other.
type simHost struct {
	w      *world
	name   string
	struck chan struct{} // full while a fault lasts; a mutex would stop the fake clock
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

	missed, beat int // number of failed heartbeats in a row, and the number of the last one
}

// newWorld draws the parameters of a simulation from a seed.
func newWorld(seed uint64, store broker.Broker) *world {
	rnd := rand.New(rand.NewPCG(seed, 2))
	w := &world{seed: seed, store: store, rec: new(Recorder), hosts: make(map[string]*simHost), began: time.Now()}
	w.faults = w.rec.Page("injector")
	most := []int{0, 15, 60, 120}[rnd.IntN(4)] // the number of struck requests in a thousand, for each effect
	some := func() int { return rnd.IntN(most + 1) }
	w.rates = faulty.Rates{Before: some(), After: some(), Twice: some(), Slow: some(), Longest: 250 * time.Millisecond}
	w.plan, w.long = simPlan(rnd), simLong
	if seed%4 == 1 { // no random number, so other seeds do not change
		w.long = simOutages
		w.plan = Outages(outage(seed%8 == 5), simOutages, lease, simMinions)
	}
	// Random numbers of their own, so the faults of the other processes are those of earlier builds.
	w.plan = append(w.plan, tickerPlan(rand.New(rand.NewPCG(seed, 8)))...)
	slices.SortStableFunc(w.plan, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return w
}

// tickerPlan draws the faults of the processes that run schedules.
func tickerPlan(rnd *rand.Rand) (plan []Fault) {
	kinds := []string{KillProcess, KillProcess, EndProcess, Freeze}
	for at := upTo(rnd, 3*time.Second); at < simTicks; at += upTo(rnd, 3*time.Second) {
		plan = append(plan, Fault{
			At: at, Name: kinds[rnd.IntN(len(kinds))], Target: fmt.Sprint("t", rnd.IntN(simTickers)), For: 50*time.Millisecond + upTo(rnd, lease),
		})
	}
	return plan
}

// simPlan draws the faults of processes.
func simPlan(rnd *rand.Rand) (plan []Fault) {
	if rnd.IntN(4) == 0 {
		return nil // only requests are struck
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

// run runs the simulation, and returns the report of the checker.
func (w *world) run() *Report {
	for i := range simMinions {
		w.open(fmt.Sprint("m", i))
	}
	for i := range simSubmitters {
		w.open(fmt.Sprint("s", i))
	}
	for i := range simTickers {
		w.open(fmt.Sprint("t", i))
	}
	var all sync.WaitGroup
	for _, f := range w.plan {
		time.Sleep(time.Until(w.began.Add(f.At)))
		all.Go(func() { w.inject(f) })
	}
	all.Wait()
	for i := range simSubmitters {
		<-w.hosts[fmt.Sprint("s", i)].proc.done
	}
	w.audit()
	for _, p := range w.hosts {
		p.struck <- struct{}{}
		p.closed = true
		<-p.struck
		p.proc.stop()
		<-p.proc.done
		p.proc.b.Kill()
	}
	return Check(w.rec.Events(), lease)
}

// audit asks for all results until no new task has been started for a while.
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
	if err := resumeAll(ctx, arb, withBounded(simQueues), page); err != nil {
		w.errs = append(w.errs, err)
	}
	for n := -1; n != len(known) && ctx.Err() == nil; {
		time.Sleep(3 * lease)
		n = len(known)
		w.errs = append(w.errs, outcomes(ctx, arb, w.rec.Events(), known, page)...)
	}
}

func (w *world) open(name string) {
	p := &simHost{w: w, name: name, struck: make(chan struct{}, 1)}
	w.hosts[name] = p
	p.start()
}

// start starts the next process on a host.
func (p *simHost) start() {
	w := p.w
	p.number++
	name := fmt.Sprintf("%s.%d", p.name, p.number)
	proc := &simProc{name: name, page: w.rec.Page(name), b: faulty.New(w.store), done: make(chan struct{})}
	hooks, tape := faulty.Seeded(w.seed, name, w.rates, proc.note), w.rec.Page(name)
	hooks.Recorded = func(d *broker.Delivery) { // also for a process that was killed in the meantime
		tape.Note(Event{Kind: Recorded, ID: d.ID.String(), Attempt: int(d.Start)})
	}
	proc.b.Set(hooks)
	var ctx context.Context
	ctx, proc.stop = context.WithCancel(context.Background())
	run := w.minion
	switch p.name[0] {
	case 's':
		run = w.submitter
	case 't':
		run = func(ctx context.Context, proc *simProc) { _ = scheduler(proc.name, proc.b).Run(ctx) }
	}
	p.proc = proc
	go func() {
		defer close(proc.done)
		run(ctx, proc)
	}()
}

// note records a fault of a request. Several failed heartbeats in a row may cost a lease, so they
// are recorded as a cause.
func (p *simProc) note(s faulty.Struck) {
	hits := []Event{{Kind: Hit, Fault: SmallFault, Target: p.name, Value: fmt.Sprintf("%v of %s no. %d", s.Effect, s.Op, s.Call)}}
	if s.Op == faulty.Heartbeat && (s.Effect == faulty.FailBefore || s.Effect == faulty.FailAfter) { // a process sends one heartbeat at a time
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
	if proc.name[1] == '0' { // the others serve all queues
		queues = queues[:1]
	}
	m, err := minion.New(proc.b, minion.Queues(withBounded(queues)...), minion.Logger(slog.New(slog.DiscardHandler)),
		minion.DrainTimeout(0), minion.MaxRecoveries(deaths), ofMinions, crowding())
	if err != nil {
		panic(err)
	}
	if err := (worker{proc.name, simSlots, proc.page, func() { w.hosts[proc.name[:2]].poisoned(ctx, proc) }}).register(m); err != nil {
		panic(err)
	}
	_ = m.Run(ctx, simSlots) // it fails if the process was killed, or if its sign-off failed
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
	if proc.name == "s1.1" && w.seed%2 == 0 {
		rounds := 0
		all.Go(func() {
			s.condemned(ctx, rand.New(rand.NewPCG(w.seed, 8)), func() bool { rounds++; return rounds > simRounds })
		})
	}
	all.Go(func() {
		rounds := 0
		s.lanes(ctx, rand.New(rand.NewPCG(w.seed, 7)), func() bool { rounds++; return rounds > simRounds })
	})
	all.Go(func() {
		rounds := 0
		s.pauses(ctx, rand.New(rand.NewPCG(w.seed, 8)), func() bool { rounds++; return rounds > simRounds })
	})
	all.Go(func() {
		rounds := 0
		s.bounds(ctx, rand.New(rand.NewPCG(w.seed, 12)), func() bool { rounds++; return rounds > simRounds })
	})
	for i := range uint64(2) {
		all.Go(func() {
			rounds := 0
			s.keyed(ctx, rand.New(rand.NewPCG(w.seed, 9+i)), func() bool { rounds++; return rounds > 2*simRounds })
		})
	}
	if strings.HasSuffix(proc.name, ".1") {
		all.Go(func() {
			s.ticks(ctx, rand.New(rand.NewPCG(w.seed, 11)), scheduler(proc.name, proc.b), s.ledger.Now()+int64(simTicks))
		})
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

// inject carries out a fault of a process, or of all processes.
func (w *world) inject(f Fault) {
	hit := Event{Kind: Hit, Fault: f.Name, Target: f.Target}
	if f.Name == TimeJump {
		for i := range simMinions + simSubmitters + simTickers {
			p := w.hosts[hostName(i)]
			p.struck <- struct{}{}
			defer func() { <-p.struck }()
		}
		hit.At = time.Now().UnixNano()
		w.hang(true)
		time.Sleep(f.For)
		w.hang(false)
	} else {
		p := w.hosts[f.Target]
		p.struck <- struct{}{}
		defer func() { <-p.struck }()
		hit.At = time.Now().UnixNano()
		if f.Name != Freeze && f.Name != Unreachable {
			hit.Target = p.proc.name
		}
		p.strike(f)
	}
	hit.Until = time.Now().UnixNano()
	w.faults.Note(hit)
}

func hostName(i int) string {
	if i < simMinions {
		return fmt.Sprint("m", i)
	}
	if i -= simMinions; i < simSubmitters {
		return fmt.Sprint("s", i)
	}
	return fmt.Sprint("t", i-simSubmitters)
}

func (w *world) hang(hangs bool) {
	for i := range simMinions + simSubmitters + simTickers {
		w.hosts[hostName(i)].proc.b.Hang(hangs)
	}
}

func (p *simHost) strike(f Fault) {
	proc := p.proc
	switch f.Name {
	case Freeze:
		proc.b.Hang(true)
		time.Sleep(f.For)
		proc.b.Hang(false)
		return
	case Unreachable:
		proc.b.CutOff(true)
		time.Sleep(f.For)
		proc.b.CutOff(false)
		return
	case KillProcess:
		proc.kill()
		// The goroutines of a killed process end by themselves. Nothing that they do has an effect.
	case EndProcess:
		proc.stop()
		<-proc.done
	}
	time.Sleep(f.For)
	p.start()
}

// kill ends a process. Every request that reaches the broker must be in the ledger, so the page
// ends last.
func (p *simProc) kill() {
	p.b.Kill()
	p.page.End()
	p.stop()
}

// poisoned ends a process because a task asks for it, like a kill, and starts the next process. It
// returns when the context of the handler has ended.
func (p *simHost) poisoned(ctx context.Context, proc *simProc) {
	proc.kill()
	go func() {
		p.struck <- struct{}{} // waits if a fault strikes the host at the same time
		defer func() { <-p.struck }()
		if !p.closed && p.proc == proc {
			time.Sleep(restart)
			p.start()
		}
	}()
	<-ctx.Done()
}
