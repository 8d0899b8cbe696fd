//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/task"
)

// quiet is how long nothing new may become known before the audit gives the rest up. It is several
// leases, because tasks may have to run again.
const quiet = 4 * lease

// audit looks every task up when all faults are over, and ends the minions. If calm is set, it first
// lets them work for a while without faults. For each task without a result, it returns what the
// broker says of it, by key.
func (s *stage) audit(ctx context.Context, calm bool) (left map[string]string) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	log := slog.New(slog.DiscardHandler)
	b, err := redis.Open(ctx, s.url, redis.Logger(log))
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	arb, err := arbiter.New(b, append(ofAudit, arbiter.Logger(log))...)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	if err := resumeAll(ctx, arb, withBounded(s.template.Queues), s.ledger); err != nil {
		s.Fatalf("audit: %v", err)
	}
	var all sync.WaitGroup
	all.Go(func() { s.back(ctx, arb) })
	s.probe(ctx, arb, 1, false)
	all.Wait()
	known := make(map[task.ID]string)
	round := func() (more bool) {
		before := len(known)
		for _, err := range outcomes(ctx, arb, s.events(), known, s.ledger) {
			s.Errorf("audit: %v", err)
		}
		return len(known) > before && ctx.Err() == nil
	}
	for round() { // the next round finds tasks that a flow has started in the meantime
	}
	if calm {
		s.calm(ctx, arb)
	}
	s.probe(ctx, arb, probes, true)
	for _, p := range s.all('m') {
		p.close()
	}
	round()
	return s.left(ctx, arb, known)
}

func (s *stage) events() []Event {
	events, err := ReadLedgers(s.template.Dir)
	if err != nil {
		s.Fatal(err)
	}
	return events
}

// left returns what the broker says of each task without a result, by key.
func (s *stage) left(ctx context.Context, arb *arbiter.Arbiter, known map[task.ID]string) map[string]string {
	got := make(map[string]bool)
	for _, e := range s.events() {
		got[e.Key] = got[e.Key] || e.Kind == Got
	}
	left := make(map[string]string)
	for id, key := range known {
		if got[key] {
			continue
		}
		st, err := arb.Status(ctx, id)
		left[key] = fmt.Sprintf("the broker reports the state %v, the minion %v and the due time %v (%v)", st.State, st.Minion, st.Due, err)
	}
	return left
}

// outcomes asks for the results of all tasks that were accepted or have started, except the known
// ones, and records them. It knows only the ids, like a client that did not send the tasks.
func outcomes(ctx context.Context, arb *arbiter.Arbiter, events []Event, known map[task.ID]string, ledger Noter) (errs []error) {
	var ids []task.ID
	damaged := make(map[string]bool)
	for _, e := range events {
		damaged[e.Key] = damaged[e.Key] || e.Kind == Damaged
	}
	for _, e := range events {
		if damaged[e.Key] || e.ID == "" || e.Kind != Accepted && e.Kind != Start {
			continue
		}
		id, err := task.ParseID(e.ID)
		if err != nil {
			return []error{err}
		}
		if known[id] == "" {
			known[id], ids = e.Key, append(ids, id)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	waited := time.AfterFunc(quiet, cancel)
	defer waited.Stop()
	for st, err := range arb.WaitForTasks(ctx, ids...) {
		waited.Reset(quiet)
		if errors.Is(err, task.ErrNotFound) || ctx.Err() != nil { // the checker decides whether the task may be lost
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		var v string
		if st.State == broker.StateSucceeded {
			if err := st.Decode(&v); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", known[st.ID], err))
			}
		}
		if e, ok := outcome(v, st.Err()); ok {
			e.Key, e.ID = known[st.ID], st.ID.String()
			ledger.Note(e)
		}
	}
	return errs
}

// back records when each minion serves all its queues. A queue whose other minions are new is served,
// even if an old one still asks a server that was replaced.
func (s *stage) back(ctx context.Context, arb *arbiter.Arbiter) {
	began := time.Now()
	over := began.Add(2 * recovery * lease) // later than the checker allows
	hosts := s.all('m')
	for len(hosts) > 0 {
		infos := make(map[int]broker.MinionInfo)
		if all, err := arb.Minions(ctx); err == nil {
			for _, info := range all {
				infos[info.PID] = info
			}
		}
		hosts = slices.DeleteFunc(hosts, func(p *host) bool {
			p.mu.Lock()
			name, pid := p.process(), p.current.PID
			p.mu.Unlock()
			missing := s.unserved(ctx, infos[pid])
			if missing != "" && time.Now().Before(over) {
				return false
			}
			s.ledger.Note(Event{Kind: Served, Target: name, At: began.UnixNano(), Until: time.Now().UnixNano(), Value: missing})
			return true
		})
		time.Sleep(50 * time.Millisecond)
	}
}

// unserved returns a queue of a minion in which the minion has no lease, or "".
func (s *stage) unserved(ctx context.Context, m broker.MinionInfo) string {
	if len(m.Queues) == 0 {
		return "of any name"
	}
	for _, queue := range m.Queues {
		until := 0.0
		s.anywhere(ctx, func(admin *goredis.Client) (err error) {
			until, err = admin.ZScore(ctx, "{arbiter:"+queue+"}:minions", string(m.ID[:])).Result()
			if errors.Is(err, goredis.Nil) {
				return nil
			}
			return err
		})
		if until < float64(time.Now().UnixMilli()) {
			return queue
		}
	}
	return ""
}

// calm lets the minions run tasks of each queue for longer than a lease, when earlier faults can't
// have effects any more. Minions that take no other tasks keep their leases by heartbeats alone. One
// of them is killed, and its tasks run again when its lease has ended.
func (s *stage) calm(ctx context.Context, arb *arbiter.Arbiter) {
	time.Sleep(lease)
	var keys []string
	var calls []task.Call[string]
	for i := range minions {
		for _, queue := range s.template.Queues {
			a := workArgs{Key: fmt.Sprintf("calm-%s-%d", queue, i), For: lease * 3 / 2}
			keys, calls = append(keys, a.Key), append(calls, work.With(task.Queue(queue)).Bind(a))
		}
	}
	var kill sync.WaitGroup
	defer kill.Wait()
	kill.Go(func() {
		time.Sleep(lease / 2)
		s.inject(Fault{Name: KillProcess, Target: fmt.Sprint("m", minions-1), For: lease})
	})
	(&submitter{ledger: s.ledger, arb: arb}).sendAndWait(ctx, rand.New(rand.NewPCG(0, 0)), keys, calls)
}

// probes is the number of tasks that are sent to each queue at the end.
const probes = 8

// probe sends n tasks to each queue, one after the other. If prompt is set, the minions are idle.
// Otherwise these are the first tasks after all faults.
func (s *stage) probe(ctx context.Context, arb *arbiter.Arbiter, n int, prompt bool) {
	for i := range n {
		for _, queue := range s.template.Queues {
			key := fmt.Sprintf("probe-%s-%d-%t", queue, i, prompt)
			time.Sleep(rand.N(20 * time.Millisecond)) // at random, so not in step with heartbeats
			s.ledger.Note(Event{Kind: Send, Key: key, Prompt: prompt, Over: !prompt})
			fut, err := work.With(task.Queue(queue)).Bind(workArgs{Key: key}).Send(ctx, arb)
			if err != nil {
				s.Errorf("probe: %v", err)
				return
			}
			s.ledger.Note(Event{Kind: Accepted, Key: key, ID: fut.ID().String()})
			if v, err := fut.Result(ctx); err != nil {
				s.Errorf("probe: %v", err)
			} else {
				s.ledger.Note(Event{Kind: Got, Key: key, ID: fut.ID().String(), Outcome: Succeeded, Value: v})
			}
		}
	}
}
