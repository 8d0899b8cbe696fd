package minion

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
	"github.com/go-arbiter/arbiter/internal/engine/limits"
	"github.com/go-arbiter/arbiter/limit"
	"github.com/go-arbiter/arbiter/task"
)

// A minion has to do with limits twice: before it takes tasks it stores the limits that its program declares, and it
// closes limits for handlers that have met the limit of a service. The broker does the rest.

const (
	// leastClosed is the shortest time for which a handler's LimitReached closes a limit and
	// snoozes the task. A time that has passed must not make the task run again at once.
	leastClosed = time.Second
	// closeWithin bounds how long closing limits is tried, while the attempt waits for it.
	closeWithin = 5 * time.Second
)

// queueLimits are the limits that are declared for one queue.
type queueLimits struct {
	queue  string
	limits []limit.Limit
}

// Limits declares limits of a queue that the minion serves. Before the minion takes tasks, it
// stores those definitions that the queue does not have yet. A stored definition stays, also
// if it is another one, since an operator may have set it: the minion then logs an error with both
// definitions, once, and goes on, so that a rolling deployment with changed limits can start.
// Arbiter.SetLimit changes a stored definition.
//
// Several Limits are added up. A definition that is not valid, or given twice for a queue, is an
// error, and so are a queue that the minion does not serve, and a broker without [broker.Lanes].
// The default is none.
func Limits(queue string, l ...limit.Limit) Option {
	l = slices.Clone(l)
	return optionFunc(func(c *config) {
		if len(l) == 0 {
			c.fail("Limits(%q): no limit; give it one or more, or leave the option out", queue)
		}
		i := slices.IndexFunc(c.limits, func(q queueLimits) bool { return q.queue == queue })
		if i < 0 {
			i = len(c.limits)
			c.limits = append(c.limits, queueLimits{queue: queue})
		}
		c.limits[i].limits = append(c.limits[i].limits, l...)
	})
}

// checkLimits checks the options Limits, after all options were given.
func (c *config) checkLimits() {
	for _, q := range c.limits {
		if !slices.Contains(c.queues, q.queue) {
			c.fail("Limits(%q): the minion does not serve this queue, only %s; use Arbiter.DeclareLimits for others", q.queue, few(c.queues))
		}
		if _, err := limits.Definitions(q.limits); err != nil {
			c.fail("Limits(%q): %v", q.queue, err)
		}
	}
}

// declareLimits stores the declared limits. It tries until the broker has answered, or the
// run is stopped.
func (r *run) declareLimits() error {
	for _, q := range r.m.cfg.limits {
		if err := r.declareIn(q); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) declareIn(q queueLimits) error {
	lanes, err := broker.LanesOf(r.m.b, "minion.Limits")
	if err != nil {
		return err
	}
	for try := 0; r.stop.Err() == nil; try++ {
		err := limits.Declare(r.stop, lanes, q.queue, q.limits)
		var conflict *limit.ConflictError
		switch {
		case err == nil:
			r.out.over("limits")
			return nil
		case errors.As(err, &conflict):
			r.out.over("limits")
			r.log.l.Error("declared limits are stored with other definitions, which count", "queue", q.queue, "error", err)
			return nil
		case r.stop.Err() != nil:
		case errors.Is(err, broker.ErrClosed) || errors.Is(err, broker.ErrInvalid):
			return err
		default:
			r.out.failed("limits", err)
			backoff.Sleep(r.stop, backoff.Delay(try, fastest, slowest))
		}
	}
	return nil
}

// limitReached finds the [task.LimitReachedError] in a handler's error. If there is one, it
// closes the limits, unless the lease is lost, and returns until when; else it returns false.
//
// Closing comes before the settlement. If the minion dies between the two, other tasks
// wait already, and this one comes back with the end of the lease. In the other order, they would
// run into the limit of the service again.
func (a *attempt) limitReached(err error) (until time.Time, found bool) {
	var reached *task.LimitReachedError
	if !errors.As(err, &reached) {
		return time.Time{}, false
	}
	until = reached.Until
	if soon := time.Now().Add(leastClosed); until.Before(soon) {
		until = soon
	}
	if !errors.Is(context.Cause(a.limits()), task.ErrLeaseLost) {
		a.closeLimits(reached.Limits, until)
	}
	return until, true
}

// closeLimits closes the limits with these names, or all limits of the task.
func (a *attempt) closeLimits(names []string, until time.Time) {
	r := a.s.r
	charges := a.charges(names)
	if len(charges) == 0 {
		r.log.task(slog.LevelWarn, "a handler has returned task.LimitReached, and no limit is closed: its task has none; "+
			"give it one with task.Limit, or name one in LimitReached", a.d)
		return
	}
	lanes, unsupported := broker.LanesOf(r.m.b, "task.LimitReached")
	ctx, cancel := context.WithTimeout(a.s.bg, closeWithin)
	defer cancel()
	for _, c := range charges {
		err := unsupported
		if err == nil {
			err = a.closeLimit(ctx, lanes, c, until)
		}
		if err != nil {
			r.log.task(slog.LevelWarn, "a limit could not be closed; only the task waits", a.d, "limit", c.Limit, "key", c.Key, "until", until, "error", err)
			continue
		}
		r.log.task(slog.LevelInfo, "limit closed: a handler has found it reached", a.d, "limit", c.Limit, "key", c.Key, "until", until)
	}
}

// charges returns the limits and keys to close for these names: those of the task, and for a
// limit that the task does not use the key "".
func (a *attempt) charges(names []string) []broker.Charge {
	var own []broker.Charge
	if a.d.Lane != nil {
		own = a.d.Lane.Limits
	}
	if len(names) == 0 {
		return own
	}
	var list []broker.Charge
	for _, name := range names {
		found := false
		for _, c := range own {
			if c.Limit == name {
				list, found = append(list, c), true
			}
		}
		if !found {
			list = append(list, broker.Charge{Limit: name})
		}
	}
	return list
}

// closeLimit closes a limit. It tries until the broker has answered or ctx ends.
func (a *attempt) closeLimit(ctx context.Context, lanes broker.Lanes, c broker.Charge, until time.Time) error {
	for try := 0; ; try++ {
		// A time of 0 would open the limit.
		d := clamp(max(time.Until(until), time.Millisecond))
		err := lanes.CloseLimit(ctx, a.d.Queue, c.Limit, c.Key, d)
		if err == nil || errors.Is(err, broker.ErrInvalid) || errors.Is(err, broker.ErrClosed) || !backoff.Sleep(ctx, backoff.Delay(try, fastest, slowest)) {
			return err
		}
	}
}
