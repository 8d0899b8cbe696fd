//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/task"
)

// quiet is how long nothing new may become known before the audit gives the rest up. It is several
// leases, because tasks may have to run again.
const quiet = 4 * lease

// audit looks every task up when all faults are over, and ends the minions. For each task without a
// result, it returns what the broker says of it, by key.
func (s *stage) audit(ctx context.Context) (left map[string]string) {
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
	if err := resumeAll(ctx, arb, s.template.Queues, s.ledger); err != nil {
		s.Fatalf("audit: %v", err)
	}
	s.probe(ctx, arb, 1, false)
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
