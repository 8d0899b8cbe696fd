package minion

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
)

// A task that this minion can't run may be one that another minion can: in a rolling
// deployment the new build sends tasks to minions of the old one. Such a task is parked,
// see [broker.Parker], and becomes a dead letter only if no minion that can run it has
// come in time. These tasks are parked:
//
//   - No handler is registered for the name.
//   - The minion does not have the codec. If it refuses a built-in codec, because another
//     of its codecs signs or encrypts, the task becomes a dead letter at once.
//   - The arguments don't decode, and the sender's schema hash differs from the
//     handler's. If the hashes are equal, or one is unknown, the arguments decode on no
//     minion, and the task becomes a dead letter at once.
//   - The message has a later version than this build reads.

// unable is the error of a task that this minion can't run, but another one may.
type unable struct{ error }

func (e unable) Unwrap() error { return e.error }

// unfitCodec returns the error for a codec that the minion does not have. Another minion
// may have it, unless it is a built-in codec that this one refuses.
func unfitCodec(name string, err error) error {
	if _, builtIn := codec.ByName(name); builtIn == nil || !errors.Is(err, codec.ErrUnknownCodec) {
		return err
	}
	return unable{err}
}

// otherSchema reports whether it is known that the arguments were encoded for other
// parameters than the handler's.
func (a *attempt) otherSchema() bool {
	return a.d.Schema != 0 && a.h.Settings.Schema != 0 && a.d.Schema != a.h.Settings.Schema
}

// parks reports whether this minion parks the tasks that it can't run.
func (r *run) parks() bool {
	_, can := r.m.b.(broker.Parker)
	return can && r.m.cfg.park > 0
}

// park settles a task that this minion can't run. If the task was parked for its whole
// time already, lastChance settles it later, and settled is false.
func (a *attempt) park(st *broker.Settlement, why error) (settled bool) {
	r := a.s.r
	if a.d.Overdue {
		a.s.lastChance(a, why)
		return false
	}
	level := slog.LevelDebug
	if r.parked.first(a.d.Need()) {
		level = slog.LevelWarn
	}
	r.log.failed(level, "task parked: another minion may be able to run it", a.d, why, "longest", r.m.cfg.park)
	*st = broker.Settlement{Delivery: a.d, Verb: broker.VerbPark, Unstarted: true, Delay: r.m.cfg.park}
	return true
}

// parkedNeeds remembers the needs that were logged: thousands of tasks may have the same.
type parkedNeeds struct {
	mu   sync.Mutex
	seen map[broker.Need]struct{}
}

// maxLogged bounds the needs that are remembered.
const maxLogged = 1000

// first reports whether this is the first parked task with that need.
func (p *parkedNeeds) first(n broker.Need) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.seen[n]; known {
		return false
	}
	if p.seen == nil || len(p.seen) >= maxLogged {
		p.seen = make(map[broker.Need]struct{})
	}
	p.seen[n] = struct{}{}
	return true
}

// parkAgain is how long a task is parked again if the list of minions can't be had.
const parkAgain = time.Minute

// lastChance settles a task that was parked for its whole time and that this minion can't
// run. If a living minion can run it, that minion is busy, and the task is parked again.
// Else it becomes a dead letter whose error names the minions of the queue. It works in a
// goroutine, because it asks the broker.
func (s *session) lastChance(a *attempt, why error) {
	r := s.r
	r.mu.Lock()
	r.unsettled++ // keeps the run from ending before this is settled
	r.mu.Unlock()
	r.wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.bg, s.lease/3)
		minions, err := r.m.b.Minions(ctx)
		cancel()
		var st broker.Settlement
		switch {
		case err != nil:
			st = broker.Settlement{Delivery: a.d, Verb: broker.VerbPark, Unstarted: true, Delay: parkAgain}
		case slices.ContainsFunc(minions, func(m broker.MinionInfo) bool { return m.ID != s.id && canRun(&m, a.d) }):
			st = broker.Settlement{Delivery: a.d, Verb: broker.VerbPark, Unstarted: true, Delay: r.m.cfg.park}
		default:
			err = fmt.Errorf("%w; it was parked, and no minion that can run it came in time; the minions of queue %s were: %s",
				why, a.d.Queue, whoServes(minions, a.d.Queue))
			a.finish(&st, broker.StateFailed, err, slog.LevelError, "task failed: no minion can run it")
		}
		l := r.lock()
		defer l.unlock()
		if !s.lost && !s.sealed {
			l.add(s, &st)
		}
		r.unsettled--
		l.changed()
	})
}

// onAbandoned returns the outcome of a parked task whose time is over and whose queue no
// minion serves. This minion does not own the task, and does not run it.
func (s *session) onAbandoned(d *broker.Delivery) broker.Outcome {
	a, why := newAttempt(s, d)
	err := fmt.Errorf("it was parked, and no minion of queue %s has come in time; no minion serves the queue", d.Queue)
	if why != nil {
		err = fmt.Errorf("%w; %w", why, err)
	}
	var st broker.Settlement
	a.finish(&st, broker.StateFailed, err, slog.LevelError, "task failed: no minion serves its queue")
	return st.Outcome
}

// canRun reports whether a minion can run a task, as far as its registration shows.
func canRun(m *broker.MinionInfo, d *broker.Delivery) bool {
	// A registration does not show which message versions a minion reads. But a minion
	// that reads this one takes the task while it is parked, before any other task.
	schema, known := m.Tasks[d.Name]
	return known && slices.Contains(m.Queues, d.Queue) && (schema == d.Schema || schema == 0 || d.Schema == 0)
}

// whoServes describes the minions of a queue for an error message, at most 5 of them.
func whoServes(minions []broker.MinionInfo, queue string) string {
	const most = 5
	var who []string
	n := 0
	for i := range minions {
		m := &minions[i]
		if !slices.Contains(m.Queues, queue) {
			continue
		}
		if n++; n <= most {
			who = append(who, fmt.Sprintf("%s at %s (process %d, tasks %s)", m.ID, m.Host, m.PID, few(slices.Sorted(maps.Keys(m.Tasks)))))
		}
	}
	switch {
	case n == 0:
		return "none"
	case n > most:
		who = append(who, fmt.Sprintf("and %d more", n-most))
	}
	return strings.Join(who, "; ")
}
