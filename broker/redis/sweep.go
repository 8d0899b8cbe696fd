package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// This file removes the state, outcome and dead letter of tasks whose retention is over.
//
// Retention is grouped into classes. A partition has a list of ids for each class, oldest first,
// and a sorted set of the classes by the time at which their first ids expire. So a sweep never
// looks at tasks that are not due. A heartbeat or a visit of the round (round.go) tells which
// classes of a partition have something due. From then on they are swept in two ways, until
// nothing is due:
//
//   - A goroutine of the broker sweeps step by step. It pauses after each step as long as the
//     step took, so it takes at most half of the server's time. This is enough at ordinary
//     speeds.
//   - At high speed a settlement is followed, in the same round trip, by a sweep of twice as
//     many tasks. So a minion always sweeps faster than it settles, and the server's memory
//     does not grow, however busy it is.
//
// Several processes may sweep one class at once: each step is one script, which removes only
// what is due.

// The sizes of steps, in tasks.
const (
	sweepStep = 1000 // size of a step of the goroutine
	sweepFrom = 128  // smallest step behind a settlement; smaller ones are added up until they are worth a command
)

// staysDue is how soon a class must have something due again to stay in the list of classes to
// sweep. It saves a minion that settles without a break from waiting for the next heartbeat.
const staysDue = 10 * time.Second

// sweeper has the classes of retention that are to be swept.
type sweeper struct {
	b    *Broker
	n    atomic.Int32  // length of all, to be read without the lock
	wake chan struct{} // capacity 1: signals the goroutine that something may be due

	mu  sync.Mutex
	all map[*keys]*dueClasses
}

// dueClasses is what is to be swept in one partition.
type dueClasses struct {
	classes map[string]time.Time // when each class has something due, by the local clock
	settled int                  // tasks that were settled since the last sweep behind a settlement
}

// sweep is one step: a run of the sweep script for one class of one partition.
type sweep struct {
	call
	keys  *keys
	class string
}

func (f *sweeper) init(b *Broker) {
	f.b = b
	f.wake = make(chan struct{}, 1)
	f.all = make(map[*keys]*dueClasses)
}

// busy reports whether anything is to be swept. Settlements call it first, since it takes no
// lock.
func (f *sweeper) busy() bool { return f.n.Load() > 0 }

// due adds classes of a partition that have something to sweep now, and wakes the goroutine.
func (f *sweeper) due(k *keys, classes []string) {
	if len(classes) == 0 {
		return
	}
	now := time.Now()
	f.mu.Lock()
	l := f.all[k]
	if l == nil {
		l = &dueClasses{classes: make(map[string]time.Time)}
		f.all[k] = l
		f.n.Store(int32(len(f.all)))
	}
	for _, class := range classes {
		l.classes[class] = now
	}
	f.mu.Unlock()
	f.wakeUp()
}

// afterSettling returns the step to send behind a settlement of n tasks; nil if nothing is due or the
// step would be too small.
func (f *sweeper) afterSettling(k *keys, n int) *sweep {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.all[k]
	if l == nil {
		return nil
	}
	l.settled += n
	if 2*l.settled < sweepFrom {
		return nil
	}
	class := l.earliest(time.Now())
	if class == "" {
		return nil
	}
	most := 2 * min(l.settled, broker.MaxBatch)
	l.settled = 0
	return newSweep(k, class, most)
}

// earliest returns the class that has been due for the longest time; "" if none is due.
func (l *dueClasses) earliest(now time.Time) (class string) {
	for c, at := range l.classes {
		if !at.After(now) && (class == "" || at.Before(l.classes[class])) {
			class = c
		}
	}
	return class
}

// beginSteps is how many steps for each class a heartbeat makes by itself.
const beginSteps = 2

// sweepFirst makes the first steps for classes that have something due. Mostly these suffice; the
// goroutine makes the others.
func (b *Broker) sweepFirst(ctx context.Context, k *keys, classes []string) {
	b.sweeper.due(k, classes)
	for n := 0; n < beginSteps && len(classes) > 0; n++ {
		steps := make([]*sweep, len(classes))
		calls := make([]*call, len(classes))
		for i, class := range classes {
			steps[i] = newSweep(k, class, b.cfg.sweepStep)
			calls[i] = &steps[i].call
		}
		runAll(ctx, b, calls)
		classes = nil
		for _, s := range steps {
			b.sweeper.done(s)
			if toInt(item(toList(s.reply), 0)) == 1 {
				classes = append(classes, s.class)
			}
		}
	}
}

// next returns a step for any partition that has a class due; nil if there is none.
func (f *sweeper) next() *sweep {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, l := range f.all {
		if class := l.earliest(now); class != "" {
			return newSweep(k, class, f.b.cfg.sweepStep)
		}
	}
	return nil
}

// newSweep returns a step that removes about most tasks.
func newSweep(k *keys, class string, most int) *sweep {
	return &sweep{keys: k, class: class, call: call{
		script: scriptSweep,
		keys:   []string{k.retention, k.ended(class), k.state, k.dead, k.about, k.steps},
		args:   []any{class, most},
	}}
}

// done takes the reply of a step, which tells when the class has something due next.
func (f *sweeper) done(s *sweep) {
	if s.err != nil && f.b.ctx.Err() == nil && !errors.Is(s.err, context.Canceled) {
		f.b.logFailed(f.b.ctx, s.keys, "remove tasks whose retention is over", s.err)
	}
	list := toList(s.reply)
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.all[s.keys]
	if l == nil {
		return
	}
	ms, left := item(list, 2).(int64)
	in := time.Duration(ms) * time.Millisecond
	switch {
	case s.err == nil && left && in <= staysDue:
		l.classes[s.class] = now.Add(in) // even if it is due now, it comes after classes that have waited longer
	default: // a later heartbeat or round tells of it
		delete(l.classes, s.class)
	}
	if len(l.classes) == 0 {
		delete(f.all, s.keys)
		f.n.Store(int32(len(f.all)))
	}
}

// sweepWithin is the timeout of a step of the goroutine, so that a server that hangs does not
// keep it from other partitions for long.
const sweepWithin = 10 * time.Second

// sweepAtOnce is for how long the goroutine sweeps before it looks for other work.
const sweepAtOnce = time.Second

// sweep makes steps until nothing is due or the time is over. In the latter case it wakes the
// goroutine again, to go on after other work.
func (b *Broker) sweep(ctx context.Context, until time.Time) {
	for ctx.Err() == nil {
		s := b.sweeper.next()
		if s == nil {
			return
		}
		if time.Now().After(until) {
			b.sweeper.wakeUp()
			return
		}
		began := time.Now()
		within, cancel := context.WithTimeout(ctx, sweepWithin)
		runAll(within, b, []*call{&s.call})
		cancel()
		b.sweeper.done(s)
		select {
		case <-time.After(time.Since(began)):
		case <-ctx.Done():
		}
	}
}

// wakeUp wakes the goroutine.
func (f *sweeper) wakeUp() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}
