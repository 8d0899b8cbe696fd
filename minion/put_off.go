package minion

import (
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A minion may be handed a task that it can't start soon although it has free slots, because
// a ceiling is reached (ceiling.go). It puts such a task off: the task is due again after a
// pause. Meanwhile this minion gets the tasks behind it, and when the pause is over any minion
// may get the task. To give the task back to the front of the queue would not do: this minion
// would be handed it again at once.
//
// A task that is put off repeatedly waits longer each time, so tasks that no minion can start
// soon cost little. A minion also puts off a bounded number of tasks per second: in a queue
// that is full of such tasks it would otherwise spend all its time, and the broker's, on
// them. Beyond that number it takes no further tasks for a moment.

const (
	// putOffFor is how long a task waits at least that is put off for the first time. The
	// time doubles with each further one, up to putOffMost. A random part of up to as much
	// again is added, so that tasks which were put off together don't come back together.
	putOffFor  = time.Second
	putOffMost = 30 * time.Second
	// putOffRate is how many tasks a minion puts off per second. After a pause it is
	// broker.MaxBatch at once.
	putOffRate = 1000
	// putOffPortion is how many tasks the minion must be able to put off before it takes
	// further ones, so that a request fetches many tasks instead of few.
	putOffPortion = 50
)

// putOffs counts the tasks that were put off lately. run.mu guards it.
type putOffs struct {
	debt int // how many, less those that putOffRate has paid for
	at   time.Time
}

// allowed returns how many tasks may be put off now.
func (p *putOffs) allowed(now time.Time) int {
	if p.debt == 0 {
		return broker.MaxBatch
	}
	paid := int(min(now.Sub(p.at), time.Minute) * putOffRate / time.Second)
	if paid > 0 {
		p.debt = max(p.debt-paid, 0)
		p.at = now
	}
	return max(broker.MaxBatch-p.debt, 0)
}

// wait returns how long it takes until n tasks may be put off, or as many as a portion.
func (p *putOffs) wait(now time.Time, n int) time.Duration {
	missing := min(n, putOffPortion) - p.allowed(now)
	return time.Duration(max(missing, 0)) * time.Second / putOffRate
}

// returns is how often the task was given back or put off without a start.
func (a *attempt) returns() int { return int(a.d.Attempt - min(a.d.Start, a.d.Attempt)) }

// putOff returns an attempt that has not started to the broker, to be due again after a
// pause. If its lease is lost, it only drops the attempt.
func (r locked) putOff(a *attempt, now time.Time) {
	wait := min(putOffFor<<min(a.returns(), 10), putOffMost)
	wait += rand.N(wait)
	if end, ok := a.deadline(); ok { // it is found expired then
		wait = min(wait, max(end.Sub(now), 0)+time.Millisecond)
	}
	if r.putOffs.debt == 0 {
		r.putOffs.at = now
	}
	r.putOffs.debt++
	r.discard(a, &broker.Settlement{Delivery: a.d, Verb: broker.VerbSnooze, Delay: wait, Unstarted: true})
}

// tellPutOff logs that tasks were put off. The caller does not hold mu.
func (r *run) tellPutOff(list []*attempt) {
	for _, a := range list {
		r.log.task(slog.LevelDebug, "task put off: the ceiling of its name is reached", a.d)
	}
}
