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
// deployment tasks of the new build come to minions of the old one. It is parked, see
// [broker.Parker], and becomes a dead letter only if no minion that can run it has come
// in time. What a minion can't run:
//
//   - a name that no handler was registered for;
//   - a codec that it does not have. One of the built in codecs that it refuses, since it
//     has one that signs or encrypts, is no such: that is a dead letter at once;
//   - arguments that don't decode, if the hash of the schema that they were sent with is
//     known and is not that of its handler. With equal hashes, or where one of them isn't
//     known, they would decode nowhere: that is a dead letter at once;
//   - a message of a version that this build does not read: only a newer one knows what it
//     says.

// unable says that this minion can't run a task, and that another one may.
type unable struct{ error }

func (e unable) Unwrap() error { return e.error }

// unfitCodec returns the error of a codec that is not there: another minion may have it,
// unless it is built in and refused.
func unfitCodec(name string, err error) error {
	if _, builtIn := codec.ByName(name); builtIn == nil || !errors.Is(err, codec.ErrUnknownCodec) {
		return err
	}
	return unable{err}
}

// otherSchema reports whether the arguments were encoded for other parameters than those
// of the handler, as far as that is known.
func (a *attempt) otherSchema() bool {
	return a.d.Schema != 0 && a.h.Settings.Schema != 0 && a.d.Schema != a.h.Settings.Schema
}

// parks reports whether tasks are parked that this minion can't run.
func (r *run) parks() bool {
	_, can := r.m.b.(broker.Parker)
	return can && r.m.cfg.park > 0
}

// park settles a task that this minion can't run, unless somebody has to look first who
// else is there: see lastChance.
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

// parkedNeeds remembers what was logged already: thousands of tasks may need the same.
type parkedNeeds struct {
	mu   sync.Mutex
	seen map[broker.Need]struct{}
}

// maxLogged bounds what is remembered.
const maxLogged = 1000

// first reports whether no task with that need was parked before.
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

// parkAgain is how long a task is parked once more when the minions can't be asked for.
const parkAgain = time.Minute

// lastChance settles a task that was parked for as long as it may be and that this minion
// can't run. If a living minion can, it is busy, and the task is parked again; else it is
// a dead letter that tells who was there. The broker is asked, so it takes a goroutine.
func (s *session) lastChance(a *attempt, why error) {
	r := s.r
	r.mu.Lock()
	r.unsettled++ // so the run does not end before it
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
			err = fmt.Errorf("%w; it was parked, and no minion that can run it came in time; minions of queue %s then: %s",
				why, a.d.Queue, whoServes(minions, a.d.Queue))
			a.finish(&st, broker.StateFailed, err, slog.LevelError, "task failed: no minion can run it")
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if !s.lost && !s.sealed {
			s.add(&st)
		}
		r.unsettled--
		r.changed()
	})
}

// onAbandoned says how a task ends that is parked in a queue which no minion serves, and
// that nobody has taken in time. It is not this minion's task, and nothing of it runs.
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

// canRun reports whether a minion can run a task, as far as its registration says.
func canRun(m *broker.MinionInfo, d *broker.Delivery) bool {
	// Nobody tells which messages a minion reads. But who reads this one takes it before
	// anything else as long as it is parked.
	schema, known := m.Tasks[d.Name]
	return known && slices.Contains(m.Queues, d.Queue) && (schema == d.Schema || schema == 0 || d.Schema == 0)
}

// whoServes lists the minions of a queue and what they know, or the first of them if they
// are many.
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
