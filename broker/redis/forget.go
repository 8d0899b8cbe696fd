package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// What has ended is forgotten when its retention is over. A heartbeat, or a round
// (round.go), tells which classes of retention of a partition have something due.
// From then on it is swept in two ways, until nothing is due:
//
//   - A goroutine of the broker sweeps step by step, with a pause after each step as
//     long as the step took. That is enough at ordinary speeds.
//   - A settlement is followed, in the same round trip, by a sweep of twice as many
//     tasks. So a minion forgets faster than it settles, however fast that is, and a
//     server that is busy with settlements can't fall behind.
//
// Several sweepers of one class do no harm: each step is one script, which forgets
// only what is due.

// The sizes of steps, in tasks.
const (
	sweepStep = 1000 // of the goroutine
	sweepFrom = 128  // less is not worth a command behind a settlement: it adds up
)

// staysDue is how long ahead a class is kept in mind that has nothing due at the
// moment: a minion that settles without a break meets it again at once.
const staysDue = 10 * time.Second

// forgetting knows what is to be swept.
type forgetting struct {
	b    *Broker
	n    atomic.Int32  // partitions in all
	wake chan struct{} // capacity 1: something may be due

	mu  sync.Mutex
	all map[*keys]*leftover
}

// leftover is what is to be swept in a partition.
type leftover struct {
	classes map[string]time.Time // when each has something due, by our clock
	settled int                  // tasks, since the last sweep behind a settlement
}

// sweep is one step.
type sweep struct {
	call
	keys  *keys
	class string
}

func (f *forgetting) init(b *Broker) {
	f.b = b
	f.wake = make(chan struct{}, 1)
	f.all = make(map[*keys]*leftover)
}

// busy reports whether anything is to be swept. It is cheap, so a settlement asks it
// first.
func (f *forgetting) busy() bool { return f.n.Load() > 0 }

// due notes classes of retention that have something to sweep now, and wakes the
// goroutine.
func (f *forgetting) due(k *keys, classes []string) {
	if len(classes) == 0 {
		return
	}
	now := time.Now()
	f.mu.Lock()
	l := f.all[k]
	if l == nil {
		l = &leftover{classes: make(map[string]time.Time)}
		f.all[k] = l
		f.n.Store(int32(len(f.all)))
	}
	for _, class := range classes {
		l.classes[class] = now
	}
	f.mu.Unlock()
	f.rouse()
}

// behind returns the step that follows the settlement of n tasks; nil if none is due,
// or it would be too small.
func (f *forgetting) behind(k *keys, n int) *sweep {
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

// earliest returns the class that has waited longest; "" if none is due.
func (l *leftover) earliest(now time.Time) (class string) {
	for c, at := range l.classes {
		if !at.After(now) && (class == "" || at.Before(l.classes[class])) {
			class = c
		}
	}
	return class
}

// beginSteps is how many steps a heartbeat makes by itself.
const beginSteps = 2

// begin makes the first steps for classes that have something due, which is mostly all
// there is, and leaves what is left to the goroutine.
func (b *Broker) begin(ctx context.Context, k *keys, classes []string) {
	b.forgotten.due(k, classes)
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
			b.forgotten.done(s)
			if toInt(item(toList(s.reply), 0)) == 1 {
				classes = append(classes, s.class)
			}
		}
	}
}

// next returns a step that is due in any partition; nil if there is none.
func (f *forgetting) next() *sweep {
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

func newSweep(k *keys, class string, most int) *sweep {
	return &sweep{keys: k, class: class, call: call{
		script: scriptSweep,
		keys:   []string{k.keep, k.forget(class), k.state, k.dead, k.about},
		args:   []any{class, most},
	}}
}

// done takes over what the server said of a step.
func (f *forgetting) done(s *sweep) {
	if s.err != nil && f.b.ctx.Err() == nil && !errors.Is(s.err, context.Canceled) {
		f.b.log.Warn("redis: can't forget old tasks; will try again", "queue", s.keys.queue, "error", s.err)
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
		l.classes[s.class] = now.Add(in) // if that is now, the others come first
	default: // a heartbeat or a round will tell of it again
		delete(l.classes, s.class)
	}
	if len(l.classes) == 0 {
		delete(f.all, s.keys)
		f.n.Store(int32(len(f.all)))
	}
}

// sweepWithin bounds a step of the goroutine: a server that hangs must not keep it
// from the other partitions for long.
const sweepWithin = 10 * time.Second

// sweepAtOnce is for how long the goroutine sweeps before it looks for other work.
const sweepAtOnce = time.Second

// sweep sweeps what is due, until the time is over. Then it goes on with the next wake.
func (b *Broker) sweep(ctx context.Context, until time.Time) {
	for ctx.Err() == nil {
		s := b.forgotten.next()
		if s == nil {
			return
		}
		if time.Now().After(until) {
			b.forgotten.rouse()
			return
		}
		began := time.Now()
		within, cancel := context.WithTimeout(ctx, sweepWithin)
		runAll(within, b, []*call{&s.call})
		cancel()
		b.forgotten.done(s)
		select {
		case <-time.After(time.Since(began)):
		case <-ctx.Done():
		}
	}
}

// rouse lets the goroutine look at what is due.
func (f *forgetting) rouse() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}
