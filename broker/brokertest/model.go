package brokertest

import (
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// model is the contract as a state machine, for one caller at a time. It is written from the
// contract, and does not depend on any broker. Where the contract leaves a choice, the model checks
// that the choice is allowed, and then follows the broker.
type model struct {
	tasks []*mtask // in the order of their creation
	// ready holds the pending tasks of each queue whose order is known: those that were never
	// delayed, and those that returned to the front. A task that became due by itself is somewhere
	// in between; see mtask.due.
	ready   map[string][]*mtask
	keys    map[place]*mkey
	endings []ending // the notices that inboxes must get, in any order
	strict  bool     // the broker prefers the first queue of a dequeue at every moment
	backs   int      // how often the tasks of a closed or dead minion returned
	slack   time.Duration
	t0, t1  time.Time // when the operation began and ended, by the broker's clock
}

// mtask is a task in the model.
type mtask struct {
	*broker.Task              // content of the last enqueue or release
	first        *broker.Task // content of the first enqueue
	n            int          // its number in the history
	state        broker.State
	attempt      uint32 // number of the current or next delivery; 0 if any larger number is allowed
	retried      int
	recoveries   int
	owner        *minion // while it runs
	killed       bool    // cancelled while it ran
	back         int     // tasks with the same number returned together; 0 if it has not returned
	due          moment  // set while it waits for a time
	ended        moment  // set when it is final
	outcome      *broker.Outcome
	settled      *broker.Settlement  // the settlement that ended it; nil if a cancel ended it
	failed       *broker.LastFailure // the reason of its retry
	behind       bool                // it is blocked because it waits behind the holder of its unique key
	replacedBy   *mtask              // the task that took its key
}

type ending struct {
	id    broker.ID
	state broker.State
}

// moment is a point in time that is known to lie between two readings of the clock.
type moment struct{ from, to time.Time }

func (t moment) plus(d time.Duration) moment { return moment{t.from.Add(d), t.to.Add(d)} }

func (m *model) now() moment { return moment{m.t0, m.t1} }

// passed reports whether a moment had surely passed before the operation.
func (m *model) passed(t moment) bool { return !m.t0.Before(t.to.Add(m.slack)) }

// ahead reports whether a moment was surely still to come after the operation.
func (m *model) ahead(t moment) bool { return m.t1.Before(t.from.Add(-2 * time.Millisecond)) }

// holder returns another task that holds the unique key of t, or nil.
func (m *model) holder(t *mtask) *mtask {
	switch k := m.keyOf(t.place()); {
	case t.Unique.Key == "" || k == nil || k.holder == t:
	case k.holder != nil:
		return k.holder
	case k.windowOf != t:
		return k.windowOf
	}
	return nil
}

// keep returns how long the outcome of a final task is stored.
func (t *mtask) keep() time.Duration {
	if t.state == broker.StateFailed {
		return max(t.Retention, t.DeadFor)
	}
	return t.Retention
}

// lives reports whether the outcome is surely stored, and whether it is surely not stored any more.
// Around the end of its retention neither is sure.
func (m *model) lives(t *mtask) (yes, no bool) {
	end := t.ended.plus(t.keep())
	return m.ahead(end), m.passed(end)
}

// store adds a new task.
func (m *model) store(t *mtask) {
	t.attempt = 1
	t.first = t.Task
	if t.Flow.Blocked {
		t.state, t.due = broker.StateBlocked, m.now().plus(t.Delay)
		return
	}
	if t.Delay > 0 {
		t.state, t.due = broker.StateScheduled, m.now().plus(t.Delay)
		return
	}
	t.state = broker.StatePending
	m.ready[t.Queue] = append(m.ready[t.Queue], t)
}

// take checks that t may be handed out now to a minion that asked for the queues in this order.
func (m *model) take(t *mtask, queues []string, to *minion) error {
	for _, queue := range queues[:slices.Index(queues, t.Queue)] {
		if !m.strict { // the broker may not know yet that the other queue has a task
			break
		}
		if o := m.available(queue); o != nil {
			return fmt.Errorf("task %d of queue %s was handed out before task %d of queue %s", t.n, t.Queue, o.n, queue)
		}
	}
	switch ready := m.ready[t.Queue]; {
	case t.timed():
		if m.ahead(t.due) {
			return fmt.Errorf("task %d was handed out %v before it was due", t.n, t.due.from.Sub(m.t1))
		}
	case t.state != broker.StatePending:
		return fmt.Errorf("task %d was handed out while it was %s", t.n, t.state)
	default:
		at := slices.Index(ready, t)
		for _, o := range ready[:at] {
			// The order of the tasks that returned from one minion is not promised.
			if o.back == 0 || o.back != t.back {
				return fmt.Errorf("task %d was handed out before task %d", t.n, o.n)
			}
		}
		m.ready[t.Queue] = slices.Delete(ready, at, at+1)
	}
	t.back = 0
	t.state, t.owner = broker.StateRunning, to
	return nil
}

// available returns a task of the queue that a dequeue must return, or nil.
func (m *model) available(queue string) *mtask {
	if ready := m.ready[queue]; len(ready) > 0 {
		return ready[0]
	}
	for _, t := range m.tasks {
		if t.Queue == queue && m.isDue(t) {
			return t
		}
	}
	return nil
}

func (m *model) isDue(t *mtask) bool {
	return t.timed() && m.passed(t.due)
}

// timed reports whether t becomes pending by itself at some time.
func (t *mtask) timed() bool {
	switch t.state {
	case broker.StateScheduled, broker.StateRetrying:
		return true
	case broker.StateBlocked:
		return t.Delay > 0 && !t.behind
	}
	return false
}

// release applies the release of a blocked task with its new content.
func (m *model) release(t *mtask, whole *broker.Task) {
	t.Task, t.state = whole, broker.StatePending
	m.ready[t.Queue] = append(m.ready[t.Queue], t)
}

// settle applies an accepted settlement by the owner.
func (m *model) settle(t *mtask, s broker.Settlement) {
	t.owner = nil
	switch {
	case s.Verb == broker.VerbFinish:
		o := s.Outcome
		t.settled = &s
		m.end(t, o.State, &o)
	case t.killed:
		m.end(t, broker.StateCanceled, nil)
	case s.Verb == broker.VerbGiveBack:
		m.front(t)
	default:
		t.attempt++
		if s.Verb == broker.VerbRetry {
			t.retried++
			if s.Outcome.Err != nil {
				t.failed = s.LastFailure()
			}
		}
		t.state, t.due = broker.StateRetrying, m.now().plus(max(0, s.Delay))
	}
}

// front puts tasks back to the front of their queue.
func (m *model) front(tasks ...*mtask) {
	m.backs++
	for _, t := range slices.Backward(tasks) {
		t.state, t.owner, t.back = broker.StatePending, nil, m.backs
		t.attempt++
		m.ready[t.Queue] = slices.Insert(m.ready[t.Queue], 0, t)
	}
}

// end makes a task final.
func (m *model) end(t *mtask, state broker.State, o *broker.Outcome) {
	t.state, t.outcome, t.ended, t.failed = state, o, m.now(), nil
	t.owner, t.killed = nil, false
	m.endings = append(m.endings, ending{t.ID, state})
	m.freeKey(t)
}

// cancel returns the verdict that the broker must give, and applies it. more reports that
// CancelUnknown is allowed too.
func (m *model) cancel(t *mtask) (verdict broker.CancelVerdict, more bool) {
	switch {
	case t.state == broker.StateUnknown:
		return broker.CancelUnknown, false
	case t.state == broker.StateRunning:
		t.killed = true
		return broker.CancelRequested, false
	case t.state.Final():
		yes, _ := m.lives(t)
		return broker.CancelTooLate, !yes
	}
	m.unqueue(t)
	t.behind = false
	m.end(t, broker.StateCanceled, nil)
	t.settled = nil
	return broker.CancelPrevented, false
}

// requeue makes a dead letter pending again. Its position in the queue is left open.
func (m *model) requeue(t *mtask) {
	t.state, t.due = broker.StateRetrying, m.now()
	t.attempt, t.retried, t.recoveries = 0, 0, 0
	t.outcome, t.settled = nil, nil
	m.retake(t)
}

// held returns the tasks that a minion owns, in the order of their hand-out.
func (m *model) held(by *minion, order []*mtask) []*mtask {
	var held []*mtask
	for _, t := range order {
		if t.owner == by && !slices.Contains(held, t) {
			held = append(held, t)
		}
	}
	return held
}

// status checks the result of a look-up of t.
func (m *model) status(t *mtask, st broker.Status) error {
	wrong := func() error {
		return fmt.Errorf("Lookup says that task %d is %s (attempt %d), want %s (attempt %d)", t.n, st.State, st.Attempt, t.state, t.attempt)
	}
	if err := t.checkDetails(st); err != nil {
		return err
	}
	switch {
	case t.state.Final():
		yes, no := m.lives(t)
		full := st.State == t.state && st.Outcome != nil
		absent := (st.State == broker.StateUnknown || st.State == t.state) && st.Outcome == nil
		// While a failed task is a dead letter, its outcome may be stored in the dead letter alone.
		dead := t.state == broker.StateFailed && !m.ahead(t.ended.plus(t.Retention))
		switch {
		case yes && !full && !(dead && st.State == t.state):
			return fmt.Errorf("Lookup says that task %d is %s with outcome %v, want %s with its outcome, since its retention has not ended", t.n, st.State, st.Outcome, t.state)
		case no && !absent && t.state == broker.StateCanceled && st.State == t.state && !m.passed(t.ended.plus(broker.DefaultRetention)):
			// A broker that can't read the message may keep the state for that long.
		case no && !absent:
			return fmt.Errorf("Lookup says that task %d is %s with outcome %v, after its retention has ended", t.n, st.State, st.Outcome)
		case !full && !absent:
			return wrong()
		case st.Outcome != nil && t.replacedBy != nil && st.Outcome.ReplacedBy != t.replacedBy.ID:
			return fmt.Errorf("Lookup says that task %d was replaced by %s, want task %d, %s", t.n, st.Outcome.ReplacedBy, t.replacedBy.n, t.replacedBy.ID)
		case st.Outcome != nil && t.outcome != nil:
			if diff := diffOutcome(*st.Outcome, *t.outcome); diff != "" {
				return fmt.Errorf("Lookup returned for task %d an outcome that differs: %s", t.n, diff)
			}
		}
	case st.State == broker.StatePending && t.timed() && !m.ahead(t.due): // it may have become due
	case st.State != t.state:
		return wrong()
	case t.state == broker.StateRunning:
		if st.Minion != t.owner.ID() || st.Attempt != t.attempt {
			return fmt.Errorf("Lookup says that task %d runs at minion %s as attempt %d, want minion %s and attempt %d", t.n, st.Minion, st.Attempt, t.owner.ID(), t.attempt)
		}
	}
	return nil
}
